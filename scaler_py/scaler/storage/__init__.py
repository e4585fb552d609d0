"""Object storage: the host of the store's loop."""
