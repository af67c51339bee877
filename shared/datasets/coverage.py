"""Say before a training what its images can't teach and can't measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from shared.datasets.tables import DatasetError

FEW: Final = 10
"""The number of images with (or without) a label below which a split can't measure the label."""
FEWEST_GROUPS: Final = 3
"""The number of groups below which neighbours are in several splits."""


def unlearnable(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> list[str]:
    """Return the labels that no image has, or that all have: nothing can be learned or measured about them."""
    true = np.sum(labels, axis=0) if len(labels) else np.zeros(len(label_names))
    return [name for name, count in zip(label_names, true, strict=True) if count in (0, len(labels))]


def few(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> str:
    """Return the labels that too few images have, or lack, with their counts; empty if there is none."""
    true = np.sum(labels, axis=0)
    return ", ".join(
        f"{name} ({count} of {len(labels)})"
        for name, count in zip(label_names, true, strict=True)
        if min(count, len(labels) - count) < FEW
    )


def unlearnable_warnings(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> list[str]:
    """Warn of each label of `unlearnable`."""
    found = []
    for name in unlearnable(label_names, labels):
        has_it = bool(labels[0][list(label_names).index(name)])
        what = f"all {len(labels)} images have" if has_it else f"none of {len(labels)} images has"
        found.append(
            f"{what} the label {name}: it can't be learned or measured, and is in no mean; label images "
            f"{'without' if has_it else 'with'} it, or remove it"
        )
    return found


def refuse_unlearnable(label_names: Sequence[str], labels: Sequence[Sequence[bool]]) -> None:
    """Check before a training that there is a label to learn.

    Raises:
        DatasetError: each label is in all images, or in none.
    """
    if len(unlearnable(label_names, labels)) == len(label_names):
        raise DatasetError([*unlearnable_warnings(label_names, labels), "there is no label to learn"])


def coverage_warnings(label_names: Sequence[str], labels: Sequence[Sequence[bool]], groups: int) -> list[str]:
    """Warn of labels that can't be learned or measured, and of too few groups.

    Args:
        label_names: the labels.
        labels: those of each image.
        groups: the number of groups.
    """
    found = unlearnable_warnings(label_names, labels)
    without = unlearnable(label_names, labels)
    kept = [column for column, name in enumerate(label_names) if name not in without]
    if scarce := few([label_names[column] for column in kept], [[row[column] for column in kept] for row in labels]):
        found.append(f"too few images with or without {scarce} to measure them: label at least {FEW} of each")
    if groups < FEWEST_GROUPS:
        found.append(
            f"the images are of {groups} group{'s' if groups != 1 else ''}: what a network learns from them can't be "
            "measured on others; add images of other parts, batches or videos"
        )
    return found
