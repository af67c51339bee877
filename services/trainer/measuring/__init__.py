"""Measure models in a child process: the only part of a trainer that loads OpenVINO between trainings."""
