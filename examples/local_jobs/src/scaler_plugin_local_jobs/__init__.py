"""An offload driver for scaler: each task is a process of this machine."""
