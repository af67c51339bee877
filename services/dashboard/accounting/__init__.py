"""Where every frame went, and what was put aside."""
