"""Judges frames on several labels at once."""
