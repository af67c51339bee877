"""Show which pixels led to a verdict."""
