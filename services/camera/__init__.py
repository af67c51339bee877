"""The camera: captures frames from one source and publishes them.

This module raises OpenCV's limit on the size of an image, because a region of interest may be cut from a larger image.
"""

import os
from typing import Final

import shared

REGION_PIXEL_LIMIT: Final = 8 * shared.PIXEL_LIMIT
"""Most pixels of an image from which a region of interest is cut."""

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(REGION_PIXEL_LIMIT)
