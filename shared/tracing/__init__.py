"""Traces of frames for a collector of OpenTelemetry."""
