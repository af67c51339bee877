"""Builds models from labelled pictures, keeps them, and promotes them."""
