"""The explainer: makes heatmaps, which show the pixels that led to a verdict."""
