"""Retention: what is stored, what the rules remove, and the day on which the storage is full."""
