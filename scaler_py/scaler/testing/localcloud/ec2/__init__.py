"""EC2: moto's API, with instances that run their user data."""
