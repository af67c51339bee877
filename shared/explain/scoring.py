"""Measures the heatmaps of a model on images whose truth is marked; see `shared.explain.scores`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.port import Images, Logits
from shared.explain.curves import Curves, curves_of
from shared.explain.heat import heat_of
from shared.explain.masks import MarkedImage, read_mask
from shared.explain.pointing import TOLERANCE, Pointing, point, rank_correlation
from shared.explain.port import Maps, Probe
from shared.explain.scores import HeatmapScores, LabelHeatmaps, Measured
from shared.explain.targets import points_at_presence
from shared.imaging.codec import decode
from shared.imaging.preprocessing import prepare
from shared.intervals import Weights, draws, mean, spread
from shared.recipe import Recipe
from shared.verdict import scores_of

BATCH: Final = 16
FEW: Final = 10
"""Below so many marked images nothing is said about a label."""
MOST_ALIKE: Final = 0.5
"""Rank correlation, on average, with the maps of shuffled weights; above it, a map shows the image, not the model."""


@dataclass(frozen=True)
class Subject:
    """A model whose heatmaps are measured."""

    recipe: Recipe
    layer: str
    probe: Probe
    shuffled: Probe
    """The same network, the numbers of each of its weights in another order."""
    logits: Callable[[Images], Logits]


@dataclass(frozen=True)
class _Task:
    """One label of one image, to be looked at."""

    image: MarkedImage
    label: str
    place: int
    """Of the label among the network's outputs."""
    towards: bool
    with_curves: bool


@dataclass(frozen=True)
class _Finding:
    """What was measured."""

    task: _Task
    pointing: Pointing
    alike: float
    curves: tuple[Curves, Curves] | None
    """Of the map, and of one drawn by lot."""


def score_heatmaps(
    subject: Subject, marked: Sequence[MarkedImage], *, most: int = 200, most_curves: int = 16, seed: int = 0
) -> HeatmapScores:
    """Measure the heatmaps of a model.

    Args:
        subject: the model.
        marked: images that it was not trained on.
        most: images per label, drawn by lot if there are more.
        most_curves: of them, those that deletion and insertion are measured on: each takes 44 runs of the network.
        seed: of the lots.

    Raises:
        UnreadableImage: an image or mask is no image.
    """
    rng = np.random.default_rng(seed)
    tasks: list[_Task] = []
    for place, label in enumerate(subject.recipe.labels):
        images = [image for image in marked if label.name in image.masks]
        drawn = rng.permutation(len(images))[:most]
        tasks += [
            _Task(images[row], label.name, place, points_at_presence(label, subject.recipe), number < most_curves)
            for number, row in enumerate(drawn)
        ]
    findings = [
        finding for at in range(0, len(tasks), BATCH) for finding in _measure(subject, tasks[at : at + BATCH], rng)
    ]
    of_label = {
        name: [finding for finding in findings if finding.task.label == name] for name in subject.recipe.label_names
    }
    return HeatmapScores(
        method=subject.recipe.explanation.method,
        layer=subject.layer,
        tolerance=TOLERANCE,
        labels={name: _summary(found) for name, found in of_label.items() if found},
    )


def _measure(subject: Subject, tasks: Sequence[_Task], rng: np.random.Generator) -> list[_Finding]:
    spec = subject.recipe.image
    images = np.stack([prepare(decode(task.image.path.read_bytes()), spec) for task in tasks])
    asked = [(row, task.place, task.towards) for row, task in enumerate(tasks)]
    maps, shuffled = subject.probe.maps(images, asked), subject.shuffled.maps(images, asked)
    findings = []
    for row, task in enumerate(tasks):
        mask = read_mask(task.image.masks[task.label])
        findings.append(
            _Finding(
                task=task,
                pointing=point(heat_of(maps[row], *mask.shape), mask),
                alike=rank_correlation(maps[row], shuffled[row]),
                curves=_both_curves(subject, task, images[row], maps[row], rng) if task.with_curves else None,
            )
        )
    return findings


def _both_curves(
    subject: Subject, task: _Task, image: NDArray[np.float32], map_: Maps, rng: np.random.Generator
) -> tuple[Curves, Curves]:
    def scorer(images: Images) -> NDArray[np.float64]:
        scores = scores_of(subject.logits(images), subject.recipe.task)[:, task.place].astype(np.float64)
        return scores if task.towards else 1 - scores

    by_lot = rng.random(map_.shape, np.float32)
    return curves_of(image, map_, scorer), curves_of(image, by_lot, scorer)


def _summary(findings: Sequence[_Finding]) -> LabelHeatmaps:
    samples = draws([finding.task.image.group for finding in findings])
    pointing = {
        name: np.array([getattr(finding.pointing, name) for finding in findings])
        for name in ("hit", "centre", "random", "energy", "area")
    }
    advantage = _measured(pointing["hit"] - pointing["centre"], samples)
    alike = _measured(np.array([finding.alike for finding in findings]), samples)
    trustworthy, reason = _trust(len(findings), advantage, alike)
    return LabelHeatmaps(
        images=len(findings),
        towards=findings[0].task.towards,
        pointing=_measured(pointing.pop("hit"), samples),
        **{name: _measured(values, samples) for name, values in pointing.items()},
        advantage=advantage,
        alike=alike,
        **_curves(findings),
        trustworthy=trustworthy,
        reason=reason,
    )


def _curves(findings: Sequence[_Finding]) -> dict[str, Measured | int]:
    measured = [(finding.task.image.group, *finding.curves) for finding in findings if finding.curves]
    samples = draws([group for group, _, _ in measured])
    numbers = {
        "deletion": [of_map.deletion for _, of_map, _ in measured],
        "deletion_random": [by_lot.deletion for _, _, by_lot in measured],
        "insertion": [of_map.insertion for _, of_map, _ in measured],
        "insertion_random": [by_lot.insertion for _, _, by_lot in measured],
    }
    return {"curves": len(measured), **{name: _measured(np.array(of), samples) for name, of in numbers.items()}}


def _measured(values: NDArray[np.float64], samples: Weights) -> Measured:
    low, high = spread(mean(values, samples)) or (float("nan"), float("nan"))
    return Measured(value=float(values.mean()), low=low, high=high)


def _trust(images: int, advantage: Measured, alike: Measured) -> tuple[bool | None, str]:
    if images < FEW:
        return None, f"only {images} images have a mask, and {FEW} are needed"
    if advantage.low <= 0:
        return False, "its peaks do not point better than the middle of the image does"
    if alike.value > MOST_ALIKE:
        return False, "its maps hardly change when the weights of the network are shuffled"
    return True, ""
