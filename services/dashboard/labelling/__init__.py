"""Labelling: what people say about the frames of films and of the line."""
