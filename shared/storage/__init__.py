"""Store images, heatmaps, models and the archive as objects: the port and its adapters."""
