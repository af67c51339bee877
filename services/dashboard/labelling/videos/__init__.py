"""Receive, inspect, and read uploaded videos."""
