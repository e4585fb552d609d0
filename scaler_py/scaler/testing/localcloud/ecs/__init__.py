"""ECS: clusters and definitions by moto, tasks as processes."""
