"""Labelled images as people have them: tables, folders and other formats, and the dataset versions made of them."""
