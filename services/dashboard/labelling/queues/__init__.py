"""Choose the frames to label next."""
