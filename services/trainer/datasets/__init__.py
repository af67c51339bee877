"""Read labelled images, split them, and store them as dataset versions."""
