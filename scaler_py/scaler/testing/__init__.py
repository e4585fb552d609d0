"""What authors of drivers import in their tests: `scaler.testing.driver_contract`. Loaded when asked."""
