"""Annotations of frames: their log, the rules of labels, and the agreement of two people."""
