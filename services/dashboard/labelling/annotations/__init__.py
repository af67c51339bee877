"""Annotations of frames: the log, its rules, and how far two people agree."""
