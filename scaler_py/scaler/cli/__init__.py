"""One module a command; nothing but wiring."""
