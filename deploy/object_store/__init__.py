"""The object store of a plant: its buckets, users and policies."""
