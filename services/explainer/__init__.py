"""Shows which pixels led to a verdict."""
