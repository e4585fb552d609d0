"""Where scripts look for option classes."""
