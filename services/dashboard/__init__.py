"""Counts verdicts and serves the API and the pages."""
