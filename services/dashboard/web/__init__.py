"""Serve HTTP: the server, its limits, errors, and what all pages share."""
