"""Publishes the frames of a line.

OpenCV's own limit of an image is raised here, because a region of interest may be cut from a larger one.
"""

import os
from typing import Final

import shared

REGION_PIXEL_LIMIT: Final = 8 * shared.PIXEL_LIMIT
"""Pixels of the largest image from which a region of interest is cut."""

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(REGION_PIXEL_LIMIT)
