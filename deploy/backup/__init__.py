"""Back up everything that is stored, and restore it."""
