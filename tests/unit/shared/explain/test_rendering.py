"""Maps at the size of the image, and their colours over it."""

from __future__ import annotations

import cv2
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


@pytest.mark.parametrize("cells", [7, 28, 112])
@pytest.mark.parametrize("size", [(480, 480), (1200, 1600), (100, 60)])
def test_a_heatmap_of_the_size_of_the_networks_input_looks_the_same_over_the_image(
    cells: int, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(cells).random((cells, cells), np.float32)
    map_ = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1) ** 4, np.float32)
    whole, small = heat_of(map_, *size), heat_of(map_, min(224, size[0]), min(224, size[1]))
    over = cv2.resize(small.pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(over.astype(int) - whole.pixels).mean() < 3
    assert np.abs(over.astype(int) - whole.pixels).max() < 32
    peak, box = small.stretched(*size)
    pixel = max(size) / 224 + 1
    assert peak == pytest.approx(whole.peak, abs=pixel)
    assert box == pytest.approx(whole.box, abs=2 * pixel)


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


def test_a_smaller_heatmap_is_stretched_over_the_image() -> None:
    hot = np.array([[255, 0]], np.uint8)
    shown = overlay(np.full((20, 40, 3), 100, np.uint8), [(hot, (0, 0, 255))])
    assert shown[:, :10].tolist() == np.full((20, 10, 3), [round(40 + 255 * STRENGTH), 40, 40]).tolist()
    assert (shown[:, 30:] == 100).all()


def test_an_image_without_heat_is_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert (overlay(image, []) == image).all()
    assert (overlay(image, [(np.zeros((5, 7), np.uint8), (0, 0, 255))]) == image).all()
