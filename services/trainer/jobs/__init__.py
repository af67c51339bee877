"""Do trainings and measurements that were requested by message, in child processes."""
