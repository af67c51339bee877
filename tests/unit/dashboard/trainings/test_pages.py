"""What a training takes its time for, as far as the fields of its form say it."""

from __future__ import annotations

import pytest

from services.dashboard.trainings.estimate import GOOD_ONLY, Work
from services.dashboard.trainings.pages import CheckedForm, TrainingForm
from shared.recipe import parse_recipe
from tests.verdicts import RECIPE

SEAM = parse_recipe(RECIPE)
PIXELS = SEAM.image.height * SEAM.image.width


@pytest.mark.parametrize(
    ("given", "epochs"), [("", None), ("30", 30), ("9999", 9999), ("10000", None), ("9" * 5000, None), ("-1", None)]
)
def test_a_number_of_epochs_counts_only_if_it_is_one(given: str, epochs: int | None) -> None:
    form = CheckedForm(TrainingForm(architecture="compact", epochs=given))
    assert form.work(10, SEAM) == Work("compact", 10, PIXELS, epochs)


def test_a_model_of_good_images_alone_has_its_own_architecture_and_no_epochs() -> None:
    form = CheckedForm(TrainingForm(architecture="compact", epochs="30", good_only="yes"))
    assert form.work(10, SEAM) == Work(GOOD_ONLY, 10, PIXELS)
