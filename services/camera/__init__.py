"""Publishes the frames of a line."""
