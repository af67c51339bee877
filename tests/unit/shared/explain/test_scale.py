"""Heat by the rarity of the score among good images."""

from __future__ import annotations

import pytest

from shared.contracts.bundle import HeatmapSpec, HeatScale
from shared.explain.scale import evidence_of, rarity_of, shade_for, shade_of
from shared.explain.targets import Question
from tests.models import paint_recipe

SCALE = HeatScale(images=50, rare=-1.0, rarest=3.0)


@pytest.mark.parametrize(
    ("evidence", "shade", "rarity"),
    [(-5, 0, 1), (-1, 0, 1), (1, 0.5, (0.05 * 0.001) ** 0.5), (3, 1, 0.001), (9, 1, 0.001)],
)
def test_heat_grows_with_rarity_between_one_in_twenty_and_one_in_a_thousand(
    evidence: float, shade: float, rarity: float
) -> None:
    assert shade_of(evidence, SCALE) == shade
    assert rarity_of(shade) == pytest.approx(rarity)


def test_the_evidence_against_a_label_is_that_of_the_opposite() -> None:
    assert evidence_of(0.9, for_label=False) == pytest.approx(evidence_of(0.1, for_label=True))
    assert 10 < evidence_of(1.0, for_label=True) < 20, "a score of 1 is not infinite evidence"


def test_the_scale_is_that_of_the_label_and_the_direction() -> None:
    label = paint_recipe().label("error")
    spec = HeatmapSpec(method="grad-cam", layers=("features",), for_label={"error": SCALE})
    assert shade_for(spec, Question(label, 1, for_label=True), 0.5) == 0.25
    assert shade_for(spec, Question(label, 1, for_label=False), 0.5) is None
