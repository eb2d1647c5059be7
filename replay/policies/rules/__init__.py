"""Stop rules of our own and of the literature, one module per family."""
