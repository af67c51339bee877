"""Labelling: what people say about the frames of videos and of the line."""
