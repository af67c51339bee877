"""Maps at the size of the image, and their colours over it."""

from __future__ import annotations

import numpy as np
import pytest

from services.explainer.overlay import STRENGTH, overlay
from shared.explain.rendering import heat_of


def test_a_map_gets_the_size_of_the_image_and_its_peak_is_255() -> None:
    map_ = np.zeros((4, 6), np.float32)
    map_[1, 4] = 0.002
    heat = heat_of(map_, 40, 120)
    assert heat.pixels.shape == (40, 120)
    assert heat.pixels.dtype == np.uint8
    assert heat.pixels.max() == 255
    assert heat.peak == (90, 15)
    assert heat.pixels[15, 90] >= 250
    assert heat.pixels[35:].max() == 0


@pytest.mark.parametrize(("row", "column", "peak"), [(0, 0, (10, 5)), (3, 5, (110, 35))])
def test_the_peak_at_an_edge_is_the_middle_of_its_cell(row: int, column: int, peak: tuple[int, int]) -> None:
    map_ = np.zeros((4, 6), np.float32)
    map_[row, column] = 1
    assert heat_of(map_, 40, 120).peak == peak


def test_the_box_holds_the_hot_region_of_the_peak_and_no_other() -> None:
    map_ = np.zeros((8, 8), np.float32)
    map_[1, 1] = 1
    map_[6, 6] = 0.9
    box = heat_of(map_, 80, 80).box
    assert box is not None
    x, y, width, height = box
    assert x <= 15 < x + width <= 40
    assert y <= 15 < y + height <= 40


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_no_activation_gives_an_empty_heat(value: float) -> None:
    heat = heat_of(np.full((4, 4), value, np.float32), 20, 30)
    assert heat.pixels.shape == (20, 30)
    assert not heat.pixels.any()
    assert heat.peak is None
    assert heat.box is None


def test_the_peak_has_the_given_heat_and_other_places_their_share() -> None:
    heat = heat_of(np.array([[0.0, 1.0, 2.0]], np.float32), 10, 30, 0.5)
    assert heat.pixels[5, [0, 15, 29]].tolist() == pytest.approx([0, 64, 128], abs=5)


def test_an_empty_heatmap_still_says_where_the_evidence_is_strongest() -> None:
    heat = heat_of(np.array([[0.5, 0.9], [0.1, 0.0]], np.float32), 20, 20, 0.0)
    assert not heat.pixels.any()
    assert heat.peak == (15, 5)
    assert heat.box is not None


def test_each_label_shows_in_its_own_colour_and_cold_places_stay_as_they_were() -> None:
    image = np.full((10, 30, 3), 100, np.uint8)
    error, break_ = np.zeros((2, 10, 30), np.uint8)
    error[:, :10] = 255
    break_[:, 10:20] = 255
    shown = overlay(image, [(error, (0, 0, 255)), (break_, (0, 255, 0))])
    assert shown.shape == image.shape
    assert shown[0, 0].tolist() == [round(100 * (1 - STRENGTH) + 255 * STRENGTH), 40, 40]
    assert shown[0, 15].tolist() == [40, round(100 * (1 - STRENGTH) + 255 * STRENGTH), 40]
    assert (shown[:, 20:] == 100).all()


def test_where_two_labels_meet_both_colours_are_seen() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    hot, warm = np.full((4, 4), 255, np.uint8), np.full((4, 4), 85, np.uint8)
    blue, green, red = overlay(image, [(hot, (0, 0, 255)), (warm, (0, 255, 0))])[0, 0].tolist()
    assert blue > green > 0
    assert red == 0


def test_an_image_without_heat_is_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert (overlay(image, []) == image).all()
    assert (overlay(image, [(np.zeros((5, 7), np.uint8), (0, 0, 255))]) == image).all()
