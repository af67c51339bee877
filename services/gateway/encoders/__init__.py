"""The encoder of a line: it counts how far the parts have moved."""
