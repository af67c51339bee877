"""Builds models from labelled images, keeps them, and promotes them."""
