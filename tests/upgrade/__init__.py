"""Data of a line that was written by the first commit of a release, which all later commits must read."""
