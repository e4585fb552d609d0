"""Drivers that come with the host. They register as anybody's do: by the entry-point group `scaler.drivers`."""
