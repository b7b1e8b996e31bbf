"""What the noise is, what to choose by it, and whether the result can be trusted."""
