"""What every service shares: messages, topology, recipe, ports and their adapters.

OpenCV reads its own limit of an image once, when it is imported; so it is set here, which every process imports first.
"""

import os
from typing import Final

PIXEL_LIMIT: Final = 50_000_000
"""Pixels of the largest image that is decoded."""

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(PIXEL_LIMIT)
