"""Accounting: what became of every frame, and the parked messages."""
