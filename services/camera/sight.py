"""Notice a live camera that sends images in which nothing can be inspected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from shared.imaging.codec import Image, UnreadableImage, decode, encode
from shared.messages import CameraSight

SECONDS_BETWEEN_LOOKS: Final = 0.5
"""Brightness, contrast and sharpness are measured this often; whether an image is the one before, each time."""
SAMPLED: Final = 8
"""Distance of the rows and columns that are compared first: most images differ there."""
SATURATED: Final = 250
"""Grey value from which on a pixel is overexposed."""
MOST_SATURATED: Final = 0.5
"""Share of overexposed pixels above that of the reference."""


@dataclass(frozen=True)
class Look:
    """The measures of one image, in grey values of 0 to 255."""

    dark: float
    """One of a hundred pixels is darker."""
    bright: float
    """One of a hundred pixels is brighter."""
    saturated: float
    """Share of overexposed pixels."""
    sharpness: float
    """Variance of the Laplacian, by the variance of the image: light and contrast do not change it."""

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
        """Return the range of grey values."""
        return self.bright - self.dark


class SightWatch:
    """Compare the images of a camera with each other, with limits, and with a reference image of the scene."""

    def __init__(
        self,
        settings: CameraSettings,
        on_sight: Callable[[CameraSight, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the reference image.

        Raises:
            CameraError: it can't be read.
        """
        self._settings = settings
        self._on_sight = on_sight
        self._clock = clock
        self._reference = _read_reference(settings.reference) if settings.reference else None
        self._previous: Image | None = None
        self._unchanged_since = clock()
        self._next_look = 0.0
        self._found = CameraSight.CLEAR
        self._found_since = clock()
        self._reported = CameraSight.CLEAR

    def look(self, pixels: Image) -> CameraSight:
        """Take the next image, and return what it shows of the camera."""
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
        if now >= self._next_look and pixels.size:
            self._next_look = now + SECONDS_BETWEEN_LOOKS
            self._judge(Look.of(pixels), pixels, now)
        return self._reported

    def _judge(self, look: Look, pixels: Image, now: float) -> None:
        path = self._settings.reference
        if self._reference is None and path:
            self._reference = look
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(pixels, "png"))
            except OSError as error:
                raise CameraError(f"CAMERA_REFERENCE: {path} can't be written: {error.strerror}") from error
        found, reason = self._finding(look)
        if found is not self._found:
            self._found, self._found_since = found, now
        if found is CameraSight.CLEAR or now - self._found_since >= self._settings.blind_seconds:
            self._report(found, reason)

    def _finding(self, look: Look) -> tuple[CameraSight, str]:
        """Return what is wrong with an image, and how that was measured."""
        settings, reference, ratio = self._settings, self._reference, self._settings.sight_ratio
        if look.bright < max(settings.dark, ratio * reference.bright if reference else 0):
            return CameraSight.DARK, f"99 of 100 pixels are darker than {look.bright:.0f} of 255: check the light"
        usual_saturated = reference.saturated if reference else 1.0
        if look.dark > settings.overexposed or look.saturated > usual_saturated + MOST_SATURATED:
            return (
                CameraSight.OVEREXPOSED,
                f"{look.saturated:.0%} of the pixels are overexposed: check the exposure and the light",
            )
        covered = (
            CameraSight.COVERED,
            f"its pixels differ by {look.contrast:.0f} of 255 only: check what is in front of the lens",
        )
        if look.contrast < settings.covered:
            return covered
        if reference and look.sharpness < ratio * reference.sharpness:
            share = look.sharpness / reference.sharpness
            return CameraSight.BLURRED, f"it has {share:.0%} of the sharpness of its reference: check focus and lens"
        if reference and look.contrast < ratio * reference.contrast:
            return covered
        return CameraSight.CLEAR, ""

    def _report(self, sight: CameraSight, reason: str) -> None:
        if sight is not self._reported:
            self._reported = sight
            self._on_sight(sight, reason)


def _read_reference(path: Path) -> Look | None:
    """Return the measures of the reference image; None if it is still to be taken."""
    try:
        return Look.of(decode(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, UnreadableImage) as error:
        raise CameraError(f"CAMERA_REFERENCE: {path} can't be read ({error}): delete it to take a new one") from error
