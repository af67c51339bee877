"""What can't be learned or measured is said before a training."""

from __future__ import annotations

import pytest

from shared.datasets.coverage import coverage_warnings, refuse_unlearnable
from shared.datasets.tables import DatasetError

NAMES = ("good", "scratch", "dent")


def test_labels_of_all_images_or_of_none_and_few_groups_are_said() -> None:
    labels = [(True, number % 2 == 0, False) for number in range(40)]
    all_have, none_has, groups = coverage_warnings(NAMES, labels, groups=["a"] * 40)
    assert all_have.startswith("all 40 images have the label good: it can't be learned or measured, and is in no mean")
    assert none_has.startswith("none of 40 images has the label dent")
    assert groups.startswith("the images are of 1 group:")


def test_a_label_of_few_images_is_said_with_its_count() -> None:
    labels = [(number % 2 == 0, number % 2 == 1, number < 3) for number in range(40)]
    (few,) = coverage_warnings(NAMES, labels, groups=[str(number) for number in range(40)])
    assert few == "too few images with or without dent (3 of 40) to measure them: label at least 10 of each"


def test_a_label_whose_images_are_all_of_one_group_is_said() -> None:
    labels = [(number % 2 == 0, number % 2 == 1, number < 15) for number in range(40)]
    groups = ["a" if number < 15 else str(number) for number in range(40)]
    (warning,) = coverage_warnings(NAMES, labels, groups)
    assert warning.startswith("all 15 images with the label dent are of one group: what a network learns of it can't")


def test_a_training_without_any_label_to_learn_is_refused() -> None:
    with pytest.raises(DatasetError, match="there is no label to learn"):
        refuse_unlearnable(NAMES, [(True, False, True)] * 20)
    refuse_unlearnable(NAMES, [(True, False, True)] * 20 + [(False, False, True)])
