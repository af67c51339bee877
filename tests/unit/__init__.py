"""Promises that one module keeps alone."""
