"""Compute rates, control charts, and time windows."""
