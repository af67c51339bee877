"""Take messages in: project them into Redis, and archive them in object storage."""
