"""Choose how the heatmaps of a model are computed, scale them, and measure them."""
