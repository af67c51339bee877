"""Inspect frames on several labels at once."""
