"""Send live events to the pages."""
