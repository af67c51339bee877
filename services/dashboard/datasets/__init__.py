"""Datasets: the versions of labelled pictures that models learn from."""
