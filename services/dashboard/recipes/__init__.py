"""Recipes: drafted, edited on a page, and saved for the next training."""
