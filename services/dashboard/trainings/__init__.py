"""Trainings: request one, follow it, and cancel it."""
