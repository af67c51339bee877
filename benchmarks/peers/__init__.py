"""Inference workers beside Celery, LitServe, BentoML and Ray Serve."""
