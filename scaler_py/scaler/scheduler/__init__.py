"""The scheduler: the host of its loop."""
