"""What a training takes its time for, as far as the fields of its form say it."""

from __future__ import annotations

import pytest

from services.dashboard.datasets.schemas import DatasetVersionView
from services.dashboard.trainings.estimate import GOOD_ONLY, Work
from services.dashboard.trainings.pages import CheckedForm, TrainingForm
from shared.contracts.dataset import LabelledImage, make_version
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


@pytest.mark.parametrize(("minutes", "counted"), [("10", 10.0), ("2,5", 2.5), ("", 0.0), ("nan", 0.0), ("-1", 0.0)])
def test_the_minutes_for_trying_count_if_they_are_a_number(minutes: str, counted: float) -> None:
    assert CheckedForm(TrainingForm(architecture="compact", minutes=minutes)).work(10, SEAM).minutes == counted


@pytest.mark.parametrize(("groups", "tested"), [(100, 15), (4, 25), (3, 0), (2, 15)])
def test_images_of_the_test_split_are_counted_in_whole_groups_unless_there_are_too_few(
    groups: int, tested: int
) -> None:
    images = [
        LabelledImage(name=f"{n}.png", digest="0" * 64, labels=(half == 0,), group=f"{n % groups}")
        for half in (0, 1)
        for n in range(100 * half, 100 * half + 100)
    ]
    view = DatasetVersionView.of(make_version("seam", 1, ("break",), images, by="eva", source="a test"))
    assert view.label_groups == {"break": (groups, groups)}
    assert view.tested("break", 0.15) == tested
