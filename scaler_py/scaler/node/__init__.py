"""A node: the agent, which supervises, and its executors, which run what users wrote."""
