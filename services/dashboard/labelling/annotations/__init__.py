"""Store annotations, and fold them into labels."""
