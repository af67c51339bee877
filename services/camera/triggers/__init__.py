"""Capture an image per trigger: over HTTP, MQTT and Modbus TCP."""
