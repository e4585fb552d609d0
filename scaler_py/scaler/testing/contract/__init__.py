"""The rules that every driver keeps, by what they are about; `scaler.testing.driver_contract` makes tests of them."""
