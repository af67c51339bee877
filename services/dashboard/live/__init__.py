"""Send events to open pages (server-sent events)."""
