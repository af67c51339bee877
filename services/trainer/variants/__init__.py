"""Compile a network, and prove that its variants judge as it does."""
