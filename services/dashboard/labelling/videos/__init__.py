"""Uploaded videos and albums: receive them, scan them, store them, and read their frames."""
