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
from shared.imaging.codec import as_jpeg_or_png, decode
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
    """The metrics of the heatmaps of one label."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="images with the label and a mask of it")
    towards: bool = Field(description="True: maps of the evidence for the label; False: of the evidence against it")
    pointing: Measured = Field(description="share of maps whose peak is in the mask or within the tolerance of it")
    centre: Measured = Field(description="the same for the centre of the image")
    random: Measured = Field(description="the same for a random pixel")
    advantage: Measured = Field(description="pointing minus centre, image by image")
    energy: Measured = Field(description="share of the heat that is in the mask")
    area: Measured = Field(description="share of the image that is in the mask")
    deletion: Measured = Field(description="mean score while the hottest pixels are blurred step by step; low is good")
    deletion_random: Measured = Field(description="the same in the order of a random map")
    insertion: Measured = Field(description="mean score while the hottest pixels appear step by step; high is good")
    insertion_random: Measured = Field(description="the same in the order of a random map")
    curves: int = Field(description="images that deletion and insertion were measured on")
    alike: Measured = Field(description="rank correlation with the maps of the same network with shuffled weights")
    trustworthy: bool | None = Field(description="None: too few images to say")
    reason: str = Field("", description="why it is not, in one line")


class HeatmapScores(BaseModel):
    """The metrics of the heatmaps of a model. Labels without any mask are missing."""

    model_config = ConfigDict(frozen=True)

    method: str
    layer: str
    tolerance: float = Field(
        description="largest distance of a peak from a mask, as a share of the shorter side of the image"
    )
    labels: dict[str, LabelHeatmaps]


TOLERANCE: Final = 0.05
"""Largest distance of a hit from the mask, as a share of the shorter side of the image."""


@dataclass(frozen=True)
class Pointing:
    """A heatmap compared with a mask."""

    hit: float
    """1: the peak is in the mask or within the tolerance of it (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x)."""
    centre: float
    """1: the centre of the image hits as well."""
    random: float
    """The probability that a random pixel hits."""
    energy: float
    """The share of the heat that is in the mask (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020)."""
    area: float
    """The share of the image that is in the mask: the energy of a uniform map."""


def point(heat: Heat, mask: Mask) -> Pointing:
    """Compare a heatmap with a mask; an empty heatmap hits nothing.

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
    """Dilate a mask by a share of the shorter side of the image, at least by one pixel."""
    radius = max(1, round(tolerance * min(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Spearman's rank correlation of two maps: 1 if they order all pixels equally; 0 for a uniform map."""
    ranks = np.stack([_ranks(one.ravel()), _ranks(other.ravel())])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float((ranks[0] * ranks[1]).sum() / scale) if scale > 0 else 0.0


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ranks from 1; equal values get the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


STEPS: Final = 10
BLUR: Final = 1 / 12
"""Standard deviation of the blur, as a share of the shorter side."""

Scorer = Callable[[Images], NDArray[np.float64]]
"""Return the scores of images for one answer: (images,), 0 to 1."""


@dataclass(frozen=True)
class Curves:
    """Deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421): does the network need what its heatmap shows?

    The hottest pixels are blurred step by step, and the score should fall early; or they appear step by step in a
    blurred image, and the score should rise early. Each is the mean score over the steps.
    """

    deletion: float
    """Low is good."""
    insertion: float
    """High is good."""


def curves_of(image: NDArray[np.float32], map_: NDArray[np.float32], scorer: Scorer) -> Curves:
    """Measure deletion and insertion of one map.

    Args:
        image: (height, width, channels), the input of the network.
        map_: (any height, any width), 0 or more.
        scorer: runs the network.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(map_, (width, height), interpolation=cv2.INTER_LINEAR)
    places = np.empty(height * width, np.int64)
    places[np.argsort(-heat.ravel(), kind="stable")] = np.arange(height * width)
    steps = (places * STEPS // (height * width)).reshape(height, width, 1)
    deviation = BLUR * min(height, width)
    soft = cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
    blurred = np.asarray(soft, np.float32).reshape(image.shape)
    going = [np.where(steps < step, blurred, image) for step in range(STEPS + 1)]
    coming = [np.where(steps < step, image, blurred) for step in range(STEPS + 1)]
    scores = scorer(np.stack([*going, *coming]).astype(np.float32))
    return Curves(float(scores[: STEPS + 1].mean()), float(scores[STEPS + 1 :].mean()))


BATCH: Final = 16
FEW: Final = 10
"""Marked images that a statement about a label needs, at least."""
MOST_ALIKE: Final = 0.5
"""Mean rank correlation with the maps of shuffled weights; above it, the maps show the image, not the model."""


@dataclass(frozen=True)
class Subject:
    """A model whose heatmaps are measured."""

    recipe: Recipe
    layer: str
    probe: Probe
    shuffled: Probe
    """The same network with shuffled weights."""
    logits: Callable[[Images], Logits]


@dataclass(frozen=True)
class _Task:
    """One label of one image to measure."""

    image: MarkedImage
    label: str
    place: int
    """The position of the label among the network's outputs."""
    towards: bool
    with_curves: bool


@dataclass(frozen=True)
class _Finding:
    """The measured values of one task."""

    task: _Task
    pointing: Pointing
    alike: float
    curves: tuple[Curves, Curves] | None
    """Of the map, and of a random map."""


def score_heatmaps(
    subject: Subject, marked: Sequence[MarkedImage], *, most: int = 200, most_curves: int = 16, seed: int = 0
) -> HeatmapScores:
    """Measure the heatmaps of a model.

    Args:
        subject: the model.
        marked: images that it was not trained on.
        most: images per label; a random selection if there are more.
        most_curves: images of them for deletion and insertion, which take 44 runs of the network each.
        seed: of the random selection and the random maps.

    Raises:
        UnreadableImage: an image or mask can't be read.
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
    images = np.stack([prepare(decode(as_jpeg_or_png(task.image.path.read_bytes())), spec) for task in tasks])
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
                curves=_measure_curves(subject, task, images[row], maps[row], rng) if task.with_curves else None,
            )
        )
    return findings


def _measure_curves(
    subject: Subject, task: _Task, image: NDArray[np.float32], map_: Maps, rng: np.random.Generator
) -> tuple[Curves, Curves]:
    def scorer(images: Images) -> NDArray[np.float64]:
        scores = scores_of(subject.logits(images), subject.recipe.task)[:, task.place].astype(np.float64)
        return scores if task.towards else 1 - scores

    random_map = rng.random(map_.shape, np.float32)
    return curves_of(image, map_, scorer), curves_of(image, random_map, scorer)


def _summary(findings: Sequence[_Finding]) -> LabelHeatmaps:
    samples = draws([finding.task.image.group for finding in findings])
    pointing = {
        name: np.array([getattr(finding.pointing, name) for finding in findings])
        for name in ("hit", "centre", "random", "energy", "area")
    }
    advantage = _measured(pointing["hit"] - pointing["centre"], samples)
    alike = _measured(np.array([finding.alike for finding in findings]), samples)
    measured = [(finding.task.image.group, *finding.curves) for finding in findings if finding.curves]
    curve_samples = draws([group for group, _, _ in measured])
    curves = {
        "deletion": [of_map.deletion for _, of_map, _ in measured],
        "deletion_random": [of_random.deletion for _, _, of_random in measured],
        "insertion": [of_map.insertion for _, of_map, _ in measured],
        "insertion_random": [of_random.insertion for _, _, of_random in measured],
    }
    trustworthy, reason = _trust(len(findings), advantage, alike)
    return LabelHeatmaps(
        images=len(findings),
        towards=findings[0].task.towards,
        pointing=_measured(pointing.pop("hit"), samples),
        **{name: _measured(values, samples) for name, values in pointing.items()},
        advantage=advantage,
        alike=alike,
        curves=len(measured),
        **{name: _measured(np.array(values), curve_samples) for name, values in curves.items()},
        trustworthy=trustworthy,
        reason=reason,
    )


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
