"""The scale of heatmaps: good images have no heat in 95 of 100 cases, whatever the model."""

from __future__ import annotations

import numpy as np
import pytest

from services.trainer.heatmaps.scale import FEWEST_IMAGES, add_scales, cross_fitted_heat, fit_scales
from shared.contracts.bundle import HeatmapSpec
from shared.explain.scale import evidence_of
from shared.explain.targets import fault_questions
from tests.models import paint_recipe


def evidence(images: int, rng: np.random.Generator) -> np.ndarray:
    """Log odds of three labels, alike in each image, each label with a mean and a deviation of its own."""
    common = rng.normal(size=(images, 1))
    return np.asarray((common + rng.normal(size=(images, 3))) * np.array([1, 0.2, 3]) - np.array([4, 1, 9]))


@pytest.mark.parametrize(
    ("images", "fewest", "most"), [(6, 0.005, 0.06), (15, 0.01, 0.06), (20, 0.02, 0.06), (200, 0.03, 0.06)]
)
def test_of_new_good_images_five_in_a_hundred_have_heat_for_any_label(images: int, fewest: float, most: float) -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(150):
        scales = fit_scales(evidence(images, rng))
        shares.append((evidence(100, rng) > [scale.rare for scale in scales]).any(axis=1).mean())
    assert fewest < np.mean(shares) < most


def test_one_good_image_in_a_thousand_has_full_heat_where_the_tail_is_exponential() -> None:
    rng = np.random.default_rng(2)
    (scale,) = fit_scales(rng.exponential(2.0, size=(400, 1)))
    assert scale.images == 400
    assert 0.0003 < (rng.exponential(2.0, size=50_000) > scale.rarest).mean() < 0.003


def test_from_too_few_images_no_scale_is_made() -> None:
    rng = np.random.default_rng(3)
    assert fit_scales(evidence(FEWEST_IMAGES - 1, rng)) == []
    assert cross_fitted_heat(evidence(FEWEST_IMAGES, rng), [*"abcde"], fault_questions(paint_recipe())) is None


def test_where_all_good_images_score_alike_more_is_rare() -> None:
    (scale,) = fit_scales(np.full((30, 1), -5.0))
    assert -5.01 < scale.rare < scale.rarest < -4.9


def test_false_heat_is_measured_with_the_scale_of_other_groups() -> None:
    rng = np.random.default_rng(4)
    found, groups = evidence(60, rng), [str(number // 6) for number in range(60)]
    found[:6] += 30
    heat = cross_fitted_heat(found, groups, fault_questions(paint_recipe()))
    assert heat
    assert heat.images == 60
    assert 0.1 <= heat.share.value < 0.2, "all of the one unusual group, and few others"
    assert set(heat.labels) == {"good", "error", "break"}


def test_attributes_are_scaled_by_the_images_without_them() -> None:
    rng, recipe = np.random.default_rng(5), paint_recipe()
    truth = np.zeros((60, 4), np.float32)
    truth[:40, 0] = truth[40:, 1] = truth[::2, 3] = 1
    scores = np.clip(0.6 * truth + 0.2 + rng.normal(0, 0.05, truth.shape), 0, 1).astype(np.float32)
    spec, heat = add_scales(
        HeatmapSpec(method="grad-cam", layers=("features",)), recipe, truth, scores, [*map(str, range(60))]
    )
    for_label = {name: scale.images for name, scale in spec.for_label.items()}
    assert for_label == {"good": 40, "error": 40, "break": 40, "length": 30}
    assert {name: scale.images for name, scale in spec.against_label.items()} == {"good": 40, "length": 30}
    assert evidence_of(0.2, for_label=True) < spec.for_label["length"].rare < evidence_of(0.8, for_label=True)
    assert heat
    assert heat.images == 40
