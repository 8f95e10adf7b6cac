"""Measurements, each a ratio against a named baseline in one run: `python -m benchmarks [NAME …]`."""
