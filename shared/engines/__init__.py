"""Run networks: the port and its engines."""
