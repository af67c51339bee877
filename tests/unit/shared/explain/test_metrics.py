"""Heatmaps compared with masks, and maps compared with each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from shared.engines.port import Images
from shared.explain.metrics import STEPS, curves_of, dilated, point, rank_correlation
from shared.explain.rendering import heat_of


def _mask(*box: int, height: int = 100, width: int = 200) -> NDArray[np.bool_]:
    x, y, w, h = box
    mask = np.zeros((height, width), np.bool_)
    mask[y : y + h, x : x + w] = True
    return mask


def _map(x: int, y: int) -> NDArray[np.float32]:
    """A map with its peak in one cell of 10 by 10 pixels."""
    map_ = np.zeros((10, 20), np.float32)
    map_[y, x] = 1
    return map_


def test_a_peak_in_the_mask_is_a_hit_and_one_beside_the_tolerance_is_none() -> None:
    mask = _mask(30, 20, 10, 10)
    assert point(heat_of(_map(3, 2), 100, 200), mask).hit == 1
    assert point(heat_of(_map(4, 2), 100, 200), mask).hit == 0  # its peak, 45, lies 6 pixels beside; 5 are allowed
    assert point(heat_of(_map(3, 2), 100, 200), _mask(40, 20, 10, 10)).hit == 1  # 35 lies 5 beside 40
    assert point(heat_of(_map(12, 2), 100, 200), mask).hit == 0


def test_the_baselines_are_the_middle_of_the_image_and_a_pixel_drawn_at_random() -> None:
    aside, central = _mask(30, 20, 10, 10), _mask(95, 45, 10, 10)
    heat = heat_of(_map(3, 2), 100, 200)
    assert (point(heat, aside).centre, point(heat, central).centre) == (0, 1)
    assert point(heat, aside).random == pytest.approx(dilated(aside, 0.05).mean())
    assert 0.005 < point(heat, aside).random < 0.03


def test_the_energy_is_the_part_of_the_heat_in_the_mask_beside_the_part_of_the_image() -> None:
    everywhere = point(heat_of(np.ones((10, 20), np.float32), 100, 200), _mask(0, 0, 50, 100))
    assert everywhere.energy == pytest.approx(0.25)
    assert everywhere.area == pytest.approx(0.25)
    assert point(heat_of(_map(3, 2), 100, 200), _mask(15, 5, 45, 45)).energy == pytest.approx(1)


def test_an_empty_map_points_nowhere() -> None:
    pointing = point(heat_of(np.zeros((10, 20), np.float32), 100, 200), _mask(0, 0, 200, 100))
    assert (pointing.hit, pointing.energy, pointing.centre) == (0, 0, 1)


def test_rank_correlation_is_spearmans_with_equal_values_too() -> None:
    noise = np.random.default_rng(3)
    one = np.maximum(noise.normal(size=(9, 11)), 0).astype(np.float32)
    other = (one + noise.normal(size=one.shape)).round(1).astype(np.float32)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, one) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, np.zeros_like(one)) == 0


def test_what_the_score_depends_on_goes_and_comes_first_by_a_map_that_knows_it() -> None:
    image = np.zeros((40, 40, 1), np.float32)
    image[10:14, 10:14] = 1

    def brightest(images: Images) -> NDArray[np.float64]:
        return np.asarray(images.max(axis=(1, 2, 3)), np.float64)

    knows, errs = np.zeros((2, 10, 10), np.float32)
    knows[2:4, 2:4] = 1
    errs[8, 8] = 1
    good, bad = (curves_of(image, map_, brightest) for map_ in (knows, errs))
    assert good.deletion < 0.45 < bad.deletion
    assert good.insertion > 0.85 > bad.insertion
    assert good.insertion == pytest.approx((STEPS + brightest(_blurred(image))[0]) / (STEPS + 1), abs=0.05)


def _blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full((1, *image.shape), image.mean(), np.float32)
