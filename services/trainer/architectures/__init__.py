"""Define the networks that can be trained."""
