"""What the trainer promises, room by room."""
