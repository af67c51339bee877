"""Log people and programs in, and record who did what."""
