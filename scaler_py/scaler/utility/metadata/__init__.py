"""Where programs look for what a task took."""
