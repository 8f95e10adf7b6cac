"""Attacks on certified balls of random networks of every family: `make fuzz`."""
