"""Monitoring: Prometheus with alert rules, and Grafana with a dashboard."""
