"""Build datasets and exports from labels."""
