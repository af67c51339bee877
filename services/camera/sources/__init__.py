"""The sources of images: videos, folders of images, and live cameras."""
