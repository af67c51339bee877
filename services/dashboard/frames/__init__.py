"""Frames: the search, one frame with its heatmaps, and marks of wrong verdicts."""
