"""Read images from videos, folders, and cameras."""
