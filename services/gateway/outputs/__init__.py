"""The outputs of a line: a port, and an adapter for each protocol."""
