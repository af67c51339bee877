"""Datasets: the versions of labelled images that models are trained on."""
