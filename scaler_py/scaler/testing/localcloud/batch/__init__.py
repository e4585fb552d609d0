"""Batch: queues, environments and definitions by moto, jobs as processes."""
