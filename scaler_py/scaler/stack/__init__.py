"""The parts of a configuration file as programs that are kept alive: what `scaler config.toml` does."""
