"""Measure and compare, with one command per comparison."""
