"""A driver for scaler: each worker group is an AWS Fargate task."""
