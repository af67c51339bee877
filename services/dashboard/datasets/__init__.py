"""Datasets: the versions of labelled images that models learn from."""
