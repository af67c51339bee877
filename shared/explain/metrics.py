"""Measure how far the heatmaps of a model can be trusted, label by label.

The metrics compare heatmaps with masks of the labels: whether they point at the defect, compared with the centre of the
image and with random points; how much of their heat lies in the mask; whether the network needs what they call hot; and
whether they change when its weights are shuffled, as they must (Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.engines.port import Images, Logits
from shared.explain.masks import MarkedImage, Mask, read_mask
from shared.explain.rendering import Heat, heat_of
from shared.explain.targets import Maps, Probe, points_at_presence
from shared.imaging.codec import decode
from shared.imaging.preprocessing import prepare
from shared.intervals import Weights, draws, mean, spread
from shared.recipe import Recipe
from shared.verdict import scores_of


class Measured(BaseModel):
    """A mean over images, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class LabelHeatmaps(BaseModel):
    """The heatmaps of one label."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="that have the label, and a mask of it")
    towards: bool = Field(description="True: maps of what speaks for the label; False: of what speaks against it")
    pointing: Measured = Field(description="share of maps whose peak is in the mask, or within the tolerance of it")
    centre: Measured = Field(description="the same, of the middle of the image")
    random: Measured = Field(description="the same, of a pixel drawn by lot")
    advantage: Measured = Field(description="pointing less centre, image by image")
    energy: Measured = Field(description="part of the heat that is in the mask")
    area: Measured = Field(description="part of the image that is in the mask")
    deletion: Measured = Field(description="mean score while the hottest places are blurred; low is good")
    deletion_random: Measured = Field(description="the same, in the order of a map drawn by lot")
    insertion: Measured = Field(description="mean score while the hottest places appear; high is good")
    insertion_random: Measured = Field(description="the same, in the order of a map drawn by lot")
    curves: int = Field(description="images that deletion and insertion were measured on")
    alike: Measured = Field(description="rank correlation with the maps of the same network with shuffled weights")
    trustworthy: bool | None = Field(description="None: too few images to say")
    reason: str = Field("", description="why not, in one line")


class HeatmapScores(BaseModel):
    """The heatmaps of a model. A label that no image has a mask of is missing: nothing is known about it."""

    model_config = ConfigDict(frozen=True)

    method: str
    layer: str
    tolerance: float = Field(description="part of the image's shorter side that a peak may lie beside a mask")
    labels: dict[str, LabelHeatmaps]


TOLERANCE: Final = 0.05
"""Of the image's shorter side: so far beside a mask a peak still points at it."""


@dataclass(frozen=True)
class Pointing:
    """One heatmap against one mask."""

    hit: float
    """1: its peak is in the mask, or within the tolerance of it (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x)."""
    centre: float
    """1: the middle of the image would have hit as well."""
    random: float
    """How likely a pixel drawn by lot hits."""
    energy: float
    """The part of all heat that is in the mask itself (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020)."""
    area: float
    """The part of the image that is in the mask itself: the energy of a map without any opinion."""


def point(heat: Heat, mask: Mask) -> Pointing:
    """Hold a heatmap against the truth; a map without any activation points nowhere.

    Args:
        heat: of the image's size.
        mask: of the image's size.
    """
    near = dilated(mask, TOLERANCE)
    height, width = mask.shape
    total = float(heat.pixels.sum())
    return Pointing(
        hit=float(heat.peak is not None and near[heat.peak[1], heat.peak[0]]),
        centre=float(near[height // 2, width // 2]),
        random=float(near.mean()),
        energy=float(heat.pixels[mask].sum()) / total if total else 0.0,
        area=float(mask.mean()),
    )


def dilated(mask: Mask, tolerance: float) -> Mask:
    """A mask grown on all sides by a part of the image's shorter side, at least by a pixel."""
    radius = max(1, round(tolerance * min(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's, between two maps: 1 where they order all places alike, 0 where one says nothing of the other.

    A map that is the same everywhere orders nothing: 0.
    """
    ranks = np.stack([_ranks(one.ravel()), _ranks(other.ravel())])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float((ranks[0] * ranks[1]).sum() / scale) if scale > 0 else 0.0


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """From 1; equal values share the middle of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


STEPS: Final = 10
BLUR: Final = 1 / 12
"""Of the shorter side: the deviation of the blur that takes details away."""

Scorer = Callable[[Images], NDArray[np.float64]]
"""What a network says of images towards one answer: (images,), 0 to 1."""


@dataclass(frozen=True)
class Curves:
    """The mean scores while the hottest places go, and while they come."""

    deletion: float
    """Low is good."""
    insertion: float
    """High is good."""


def curves_of(image: NDArray[np.float32], map_: NDArray[np.float32], scorer: Scorer) -> Curves:
    """Measure one map.

    Args:
        image: (height, width, channels), as the network sees it.
        map_: (any height, any width), 0 or more.
        scorer: asks the network.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(map_, (width, height), interpolation=cv2.INTER_LINEAR)
    places = np.empty(height * width, np.int64)
    places[np.argsort(-heat.ravel(), kind="stable")] = np.arange(height * width)
    steps = (places * STEPS // (height * width)).reshape(height, width, 1)
    blurred = _blurred(image)
    going = [np.where(steps < step, blurred, image) for step in range(STEPS + 1)]
    coming = [np.where(steps < step, image, blurred) for step in range(STEPS + 1)]
    scores = scorer(np.stack([*going, *coming]).astype(np.float32))
    return Curves(float(scores[: STEPS + 1].mean()), float(scores[STEPS + 1 :].mean()))


def _blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(image, (0, 0), BLUR * min(image.shape[:2]), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(image.shape)


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
