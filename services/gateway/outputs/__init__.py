"""The outputs of a line: the port, and an adapter for each protocol of the factory."""
