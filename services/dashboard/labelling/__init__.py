"""Labelling: people annotate frames of videos and lines, and datasets are made of the labels."""
