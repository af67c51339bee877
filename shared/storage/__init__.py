"""Pictures, heatmaps, models and verdicts as objects: the port and its adapters."""
