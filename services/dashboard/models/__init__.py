"""Models: the versions there are, the one in production, and who moved it."""
