"""Train a network, from labelled images to a bundle."""
