"""Compute heatmaps, and measure them."""
