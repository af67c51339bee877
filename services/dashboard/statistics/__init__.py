"""Compute rates, control charts, shifts, and time windows."""
