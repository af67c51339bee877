"""Check whether images are enough to learn and to measure each label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from shared.datasets.labelled_images import Example
from shared.datasets.tables import DatasetError, Problem

FEW: Final = 10
"""The number of images with (or without) a label below which a split can't measure the label."""
FEWEST_GROUPS: Final = 3
"""The number of groups below which there are not enough for a training, a validation and a test split."""

OTHER_LABELS: Final = "other labels"
"""The cause of the problem that equal images have different labels."""


def unlearnable(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> list[str]:
    """Return the labels that all images have, or that no image has; they can't be learned or measured."""
    true = np.sum(labels, axis=0) if len(labels) else np.zeros(len(label_names))
    return [name for name, count in zip(label_names, true, strict=True) if count in (0, len(labels))]


def few(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> str:
    """Return the labels that fewer than `FEW` images have or lack, as text with the counts; empty if there are none."""
    true = np.sum(labels, axis=0)
    return ", ".join(
        f"{name} ({count} of {len(labels)})"
        for name, count in zip(label_names, true, strict=True)
        if min(count, len(labels) - count) < FEW
    )


def unlearnable_warnings(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> list[str]:
    """Return a warning for each label that is `unlearnable`."""
    warnings = []
    for name in unlearnable(label_names, labels):
        has_it = bool(labels[0][list(label_names).index(name)])
        images_with_label = f"all {len(labels)} images have" if has_it else f"none of {len(labels)} images has"
        warnings.append(
            f"{images_with_label} the label {name}: it can't be learned or measured, and is in no mean; label images "
            f"{'without' if has_it else 'with'} it, or remove it"
        )
    return warnings


def refuse_unlearnable(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> None:
    """Raise an error if there is no label to learn.

    Raises:
        DatasetError: each label is `unlearnable`.
    """
    if len(unlearnable(label_names, labels)) == len(label_names):
        raise DatasetError([*unlearnable_warnings(label_names, labels), "there is no label to learn"])


def coverage_warnings(label_names: Sequence[str], labels: Sequence[Sequence[bool]], groups: Sequence[str]) -> list[str]:
    """Return warnings about labels that can't be learned or measured, and about too few groups.

    Args:
        label_names: the labels.
        labels: the values of the labels, by image.
        groups: the group of each image.
    """
    warnings = unlearnable_warnings(label_names, labels)
    excluded = unlearnable(label_names, labels)
    columns = [column for column, name in enumerate(label_names) if name not in excluded]
    if scarce := few(
        [label_names[column] for column in columns], [[row[column] for column in columns] for row in labels]
    ):
        warnings.append(f"too few images with or without {scarce} to measure them: label at least {FEW} of each")
    if (count := len(set(groups))) < FEWEST_GROUPS:
        warnings.append(
            f"the images are of {count} group{'s' if count != 1 else ''}: what a network learns from them can't be "
            "measured on others; add images of other parts, batches or videos"
        )
        return warnings
    for column in columns:
        groups_with = [group for group, row in zip(groups, labels, strict=True) if row[column]]
        if len(groups_with) > 1 and len(set(groups_with)) == 1:
            warnings.append(
                f"all {len(groups_with)} images with the label {label_names[column]} are of one group: what a network "
                "learns of it can't be measured on others; add images of other parts, batches or videos"
            )
    return warnings


def contradictions(examples: Sequence[Example]) -> Iterator[Problem]:
    """Yield a problem for each image with the same file as an earlier image, but other labels or another group.

    Args:
        examples: the images, each with its digest.
    """
    first_of: dict[str, Example] = {}
    for example in examples:
        first = first_of.setdefault(example.digest, example)
        if first.labels != example.labels:
            text = f"{example.name} is the same image as {first.place}, and has other labels"
            yield Problem(example.place, text, OTHER_LABELS)
        elif first.group != example.group:
            text = f"{example.name} is the same image as {first.place}, and is in another group"
            yield Problem(example.place, text, "in another group")
