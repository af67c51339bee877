"""Decide whether a model may go into production, and promote it."""
