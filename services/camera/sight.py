"""Detect that a live camera sends images that can't be inspected: frozen, dark, overexposed, covered or blurred."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from shared.imaging.codec import Image, UnreadableImage, as_jpeg_or_png, decode, encode
from shared.messages import CameraSight

SECONDS_BETWEEN_MEASUREMENTS: Final = 0.5
"""Seconds between two measurements of brightness, contrast and sharpness."""
SAMPLED: Final = 8
"""Two images are first compared in each eighth row and column, where most images differ."""
SATURATED: Final = 250
"""Grey value from which on a pixel is overexposed."""
MOST_SATURATED: Final = 0.5
"""Most by which the share of overexposed pixels may exceed that of the reference image."""


@dataclass(frozen=True)
class ImageMeasures:
    """Measures of one image; grey values are 0 to 255."""

    dark: float
    """The grey value that 1 % of the pixels do not exceed."""
    bright: float
    """The grey value that 99 % of the pixels do not exceed."""
    saturated: float
    """Share of overexposed pixels, 0 to 1."""
    sharpness: float
    """Variance of the Laplacian divided by the variance of the image, so independent of brightness and contrast."""

    @classmethod
    def of(cls, pixels: Image) -> Self:
        """Measure an image."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        shares = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / grey.size
        dark, bright = np.searchsorted(np.cumsum(shares), (0.01, 0.99))
        edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1].item()) ** 2
        contrast = float(cv2.meanStdDev(grey)[1].item()) ** 2
        return cls(float(dark), float(bright), float(shares[SATURATED:].sum()), edges / (contrast + 1))

    @property
    def contrast(self) -> float:
        """The difference of `bright` and `dark`."""
        return self.bright - self.dark


class SightWatch:
    """Compares each image with the one before, with limits, and with a reference image of the scene."""

    def __init__(
        self,
        settings: CameraSettings,
        on_sight: Callable[[CameraSight, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the reference image.

        Raises:
            CameraError: the reference image can't be read.
        """
        self._settings = settings
        self._on_sight = on_sight
        self._clock = clock
        self._reference: ImageMeasures | None = None
        if path := settings.reference:
            try:
                self._reference = ImageMeasures.of(decode(as_jpeg_or_png(path.read_bytes())))
            except FileNotFoundError:
                pass  # the first clear image becomes the reference
            except IsADirectoryError:
                raise CameraError(
                    f"CAMERA_REFERENCE: {path} is a folder: name an image file in it, such as {path / 'reference.png'}"
                ) from None
            except (OSError, UnreadableImage) as error:
                raise CameraError(
                    f"CAMERA_REFERENCE: {path} can't be read ({error}): delete it to take a new one"
                ) from error
        self._previous: Image | None = None
        self._unchanged_since = clock()
        self._next_measurement = 0.0
        self._measured = CameraSight.CLEAR
        self._measured_since = clock()
        self._reported = CameraSight.CLEAR

    def check(self, pixels: Image) -> CameraSight:
        """Return whether the camera's images can be inspected, after its next image."""
        if region := self._settings.roi:
            x, y, width, height = region
            pixels = pixels[y : y + height, x : x + width]
        now = self._clock()
        previous = self._previous
        is_unchanged = (
            previous is not None
            and np.array_equal(pixels[::SAMPLED, ::SAMPLED], previous[::SAMPLED, ::SAMPLED])
            and np.array_equal(pixels, previous)
        )
        if not is_unchanged:
            self._unchanged_since = now
        self._previous = pixels
        unchanged = now - self._unchanged_since
        if self._settings.frozen_seconds and unchanged >= self._settings.frozen_seconds:
            self._report(CameraSight.FROZEN, "it has sent the same image again and again: restart the camera")
            return CameraSight.FROZEN
        if self._reported is CameraSight.FROZEN:
            self._report(CameraSight.CLEAR, "")
        if now >= self._next_measurement and pixels.size:
            self._next_measurement = now + SECONDS_BETWEEN_MEASUREMENTS
            self._update(ImageMeasures.of(pixels), pixels, now)
        return self._reported

    def _update(self, measures: ImageMeasures, pixels: Image, now: float) -> None:
        sight, reason = self._sight_of(measures)
        path = self._settings.reference
        if self._reference is None and path and sight is CameraSight.CLEAR:
            self._reference = measures
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(pixels, "png"))
            except OSError as error:
                raise CameraError(f"CAMERA_REFERENCE: {path} can't be written: {error.strerror}") from error
        if sight is not self._measured:
            self._measured, self._measured_since = sight, now
        if sight is CameraSight.CLEAR or now - self._measured_since >= self._settings.blind_seconds:
            self._report(sight, reason)

    def _sight_of(self, measures: ImageMeasures) -> tuple[CameraSight, str]:
        """Return whether an image can be inspected, and if not, the measure and what to check."""
        settings, reference, ratio = self._settings, self._reference, self._settings.sight_ratio
        if measures.bright < max(settings.dark, ratio * reference.bright if reference else 0):
            return CameraSight.DARK, f"99 of 100 pixels are darker than {measures.bright:.0f} of 255: check the light"
        usual_saturated = reference.saturated if reference else 1.0
        if measures.dark > settings.overexposed or measures.saturated > usual_saturated + MOST_SATURATED:
            return (
                CameraSight.OVEREXPOSED,
                f"{measures.saturated:.0%} of the pixels are overexposed: check the exposure and the light",
            )
        covered = (
            CameraSight.COVERED,
            f"its pixels differ by {measures.contrast:.0f} of 255 only: check what is in front of the lens",
        )
        if measures.contrast < settings.covered:
            return covered
        if reference and measures.sharpness < ratio * reference.sharpness:
            share = measures.sharpness / reference.sharpness
            return CameraSight.BLURRED, f"it has {share:.0%} of the sharpness of its reference: check focus and lens"
        if reference and measures.contrast < ratio * reference.contrast:
            return covered
        return CameraSight.CLEAR, ""

    def _report(self, sight: CameraSight, reason: str) -> None:
        if sight is not self._reported:
            self._reported = sight
            self._on_sight(sight, reason)
