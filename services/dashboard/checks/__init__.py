"""The start-of-shift check of a line: its challenge set, its runs and their records."""
