"""Draw sewing seams with their labels and masks, and hold the small model that the demo starts with."""

import shared  # noqa: F401  it limits OpenCV, so it has to be imported first
from samples.seam_video import SeamVideo
from samples.still import draw_seam
from samples.strip import Piece, draw_strip
from samples.swatch import Swatch, swatch, swatches
from samples.truth import LABELS, Frame, Truth

__all__ = ["LABELS", "Frame", "Piece", "SeamVideo", "Swatch", "Truth", "draw_seam", "draw_strip", "swatch", "swatches"]
