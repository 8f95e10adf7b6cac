"""Linear algebra: structure of operators, and arithmetic whose rounding errors are bounded."""
