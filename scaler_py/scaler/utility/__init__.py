"""Names of earlier systems' modules, for programs that import them."""
