"""Labelled frames as tables, archives and dataset versions."""
