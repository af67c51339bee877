"""Store the projection in Redis, and read it."""
