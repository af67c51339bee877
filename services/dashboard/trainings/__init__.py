"""Trainings: asked for, followed and cancelled."""
