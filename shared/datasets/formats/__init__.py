"""Readers and writers of the datasets of other tools, a module for each format."""
