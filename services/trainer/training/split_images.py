"""Read, decode and split the images of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from services.trainer.datasets.pixels import PixelStore, Rows, decode_images
from services.trainer.datasets.references import refuse_faulty_references
from services.trainer.datasets.split import Split, folds, split
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from shared.contracts.training import TrainingOptions
from shared.datasets.coverage import coverage_warnings, unlearnable_warnings
from shared.datasets.labelled_images import Dataset, Example, OnProblem
from shared.datasets.tables import Problem, problem_lines
from shared.recipe import Recipe

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class Folds:
    """Images that a last layer on pretrained features is fitted to, divided by group."""

    rows: Rows
    """The rows of the training and the validation split."""
    fold_of: NDArray[np.int64]
    """(rows,), the fold of each image."""
    groups: Sequence[str]
    """The group of each image."""


@dataclass(frozen=True)
class SplitImages:
    """The images of a training, decoded and divided into splits."""

    label_names: tuple[str, ...]
    examples: tuple[Example, ...]
    """The labelled images, by row of the store."""
    store: PixelStore
    split: Split
    rows: dict[str, Rows]
    """The rows of each split: ``train``, ``valid``, ``test``."""
    problems: tuple[Problem, ...]
    """Images that were left out."""

    def folds(self, seed: int) -> Folds:
        """Return the images of the training and the validation split, divided into folds by group."""
        learned = [*self.split.train, *self.split.valid]
        rows = np.concatenate([self.rows["train"], self.rows["valid"]])
        return Folds(rows, folds(learned, seed), [example.group for example in learned])

    @property
    def halves(self) -> tuple[HeldOutRows, HeldOutRows]:
        """Return the images by which heatmaps are chosen, and those that measure them."""
        return HeldOutRows(self.rows["train"]), HeldOutRows(np.concatenate([self.rows["valid"], self.rows["test"]]))

    def warnings(self, *, out_of_fold: bool) -> list[str]:
        """Return what may make the figures wrong: out of fold all images count, and not the size of the splits."""
        if not out_of_fold:
            return list(self.split.warnings)
        labels = [example.labels for example in self.examples]
        groups = [each.group for each in self.examples]
        return [*self.split.lasting, *coverage_warnings(self.label_names, labels, groups)]


def read_split_images(images: Dataset, recipe: Recipe, options: TrainingOptions, scratch: Path) -> SplitImages:
    """Read, decode and split the images of a training; ``scratch`` is a local folder for the decoded images."""
    on_problem: OnProblem = "skip" if options.skip_problems else "stop"
    refuse_faulty_references(images, recipe)
    dataset, store = decode_images(images, recipe.image, scratch, on_problem)
    for line in problem_lines(dataset.problems[len(images.problems) :]):
        _log.warning(f"left out: {line}")
    found = split(dataset, options.shares, options.seed)
    if recipe.good_by:  # its label need not be in any image, and no split has to measure it
        labels = [example.labels for example in dataset.examples]
        found = replace(found, scarcity=(*found.scarcity, *unlearnable_warnings(dataset.label_names, labels)))
    for warning in found.warnings:
        if options.epochs or warning not in found.scarcity:
            _log.warning(warning)  # now, and not after hours of training
    row_of = {example.name: row for row, example in enumerate(dataset.examples)}
    rows = {
        name: np.array([row_of[example.name] for example in examples], np.int64)
        for name, examples in found.parts.items()
    }
    return SplitImages(dataset.label_names, dataset.examples, store, found, rows, dataset.problems)
