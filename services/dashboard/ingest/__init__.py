"""Ingest messages: apply them to the projection in Redis, and archive them in object storage."""
