"""A reference is laid on an image of a part that lies otherwise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.imaging.alignment import align, warp
from shared.imaging.codec import Image
from shared.recipe import Motion
from tests.boards import board, moved

LARGE = np.asarray(cv2.resize(board(0), (320, 320), interpolation=cv2.INTER_LINEAR), np.uint8)


def _grey(image: Image) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _difference(image: Image, reference: Image, motion: Motion) -> float:
    """The mean difference between an image and the reference that is laid on it."""
    found = align(_grey(image), _grey(reference), motion)
    return float(np.abs(warp(reference, found.matrix, image).astype(float) - image).mean())


@pytest.mark.parametrize("size", [(320, 320), (96, 128)])
@pytest.mark.parametrize(
    ("motion", "right", "down", "degrees"),
    [("shift", 7.4, -3.2, 0.0), ("shift", 25.0, 12.0, 0.0), ("rotation", 4.0, 2.0, 3.0), ("affine", 4.0, 2.0, 3.0)],
)
def test_a_motion_is_found_to_a_fraction_of_a_pixel(
    motion: Motion, right: float, down: float, degrees: float, size: tuple[int, int]
) -> None:
    reference = np.asarray(cv2.resize(LARGE, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    scale = size[0] / 320
    image = moved(reference, right * scale, down * scale, degrees)
    before = float(np.abs(reference.astype(float) - image).mean())
    assert _difference(image, reference, motion) < 0.2 * before


def test_brightness_and_contrast_may_differ() -> None:
    image = (moved(LARGE, 6, -4) * 0.5 + 60).astype(np.uint8)
    found = align(_grey(image), _grey(LARGE), "shift")
    assert found.likeness > 0.95
    assert found.matrix[:, 2] == pytest.approx([-6, 4], abs=0.5)


def test_the_border_counts_as_much_as_the_middle() -> None:
    reference = _grey(LARGE)[:160, :160].copy()
    image = reference.copy()
    for border in (image[:12], image[-12:], image[:, :12], image[:, -12:]):
        border[:] = 255 - border
    expected = np.corrcoef(image.ravel(), reference.ravel())[0, 1]
    assert align(image, reference, "shift").likeness == pytest.approx(expected, abs=0.05)


def test_without_motion_the_reference_stays_where_it_is() -> None:
    found = align(_grey(moved(LARGE, 6, -4)), _grey(LARGE), "none")
    assert np.array_equal(found.matrix, np.eye(2, 3))


@pytest.mark.parametrize("other", [board(1), np.full((64, 64, 3), 90, np.uint8)])
def test_what_shows_something_else_is_not_alike(other: Image) -> None:
    image = cv2.resize(other, (320, 320), interpolation=cv2.INTER_LINEAR)
    assert align(_grey(np.asarray(image, np.uint8)), _grey(LARGE), "affine").likeness < 0.6


def test_where_the_reference_does_not_reach_nothing_differs() -> None:
    image = moved(LARGE, 40, 0)
    found = align(_grey(image), _grey(LARGE), "shift")
    assert found.covered == pytest.approx(1 - 40 / 320, abs=0.02)
    assert np.array_equal(warp(LARGE, found.matrix, image)[:, :38], image[:, :38])
