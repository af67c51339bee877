"""Run trainings and measurements that were requested by message."""
