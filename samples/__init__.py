"""Drawn sewing seams with the truth beside them, and the small model that the demo starts with."""
