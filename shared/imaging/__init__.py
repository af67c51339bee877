"""Decode, encode, and prepare images."""
