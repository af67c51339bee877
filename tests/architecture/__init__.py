"""The architecture of the code: its figures and the rules of its imports."""
