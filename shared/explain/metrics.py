"""Measure how far the heatmaps of a model can be trusted, label by label.

The metrics compare heatmaps with masks of the labels: whether they point at the defect, compared with the centre of the
image and with random points; how much of their heat lies in the mask; whether the network needs what they call hot; and
whether they change when its weights are shuffled, as they must (Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.bundle import ChosenBy, HeatmapSpec
from shared.engines.port import Images, Logits
from shared.explain.masks import MarkedImage, Mask, read_mask
from shared.explain.rendering import Heat, heat_of
from shared.explain.scale import shade_for
from shared.explain.targets import Maps, Probe, Question, fault_questions
from shared.imaging.codec import as_jpeg_or_png, decode
from shared.imaging.preprocessing import prepare
from shared.imaging.references import NotAligned, References
from shared.intervals import Weights, draws, mean, proportion, spread
from shared.recipe import Recipe
from shared.verdict import points_at_presence, scores_by


class Measured(BaseModel):
    """A mean over images, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class SizeClass(BaseModel):
    """The heatmaps of defects of one size."""

    model_config = ConfigDict(frozen=True)

    smallest: float = Field(description="share of the image that is in the mask, at least")
    largest: float = Field(description="below this share")
    images: int
    pointing: Measured


class FalseHeat(BaseModel):
    """The heat of good images, whose heatmaps should be empty."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="good images that neither trained the network nor set the scale")
    share: Measured = Field(description="share of them with heat for any label that can be a fault")
    labels: dict[str, Measured] = Field(description="the same for one label")


class LabelHeatmaps(BaseModel):
    """The metrics of the heatmaps of one label."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="images with the label and a mask of it")
    for_label: bool = Field(description="True: maps of the evidence for the label; False: of the evidence against it")
    pointing: Measured = Field(description="share of maps whose peak is in the mask or within the tolerance of it")
    centre: Measured = Field(description="the same for the centre of the image")
    random: Measured = Field(description="the same for a random pixel")
    by_size: tuple[SizeClass, ...] = Field(description="pointing by the size of the defect")
    empty: Measured = Field(description="share of maps without heat")
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
    layers: tuple[str, ...]
    chosen_by: ChosenBy
    tolerance: float = Field(
        description="largest distance of a peak from a mask, as a share of the shorter side of the image"
    )
    labels: dict[str, LabelHeatmaps]
    false_heat: FalseHeat | None = Field(None, description="null: there are too few good images")


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
    """Compare a heatmap with a mask; without any evidence it hits nothing.

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
SIZES: Final = (0.005, 0.02)
"""Shares of the image that divide defects into small, middle and large ones."""
FEWEST_MARKED_IMAGES: Final = 10
"""Fewest marked images that a statement about a label needs."""
MOST_ALIKE: Final = 0.5
"""Mean rank correlation with the maps of shuffled weights; above it, the maps show the image, not the model."""


@dataclass(frozen=True)
class Subject:
    """A model whose heatmaps are measured."""

    recipe: Recipe
    spec: HeatmapSpec
    probe: Probe
    shuffled: Probe
    """The same network with shuffled weights."""
    logits: Callable[[Images], Logits]
    references: References | None = None
    """The reference images of the recipe, if it has any."""

    def read(self, images: Iterable[MarkedImage]) -> Images:
        """Read images as the network takes them.

        Raises:
            UnreadableImage: an image can't be decoded.
            NotAligned: no reference image can be aligned with one.
        """
        prepared = []
        for image in images:
            decoded = decode(as_jpeg_or_png(image.path.read_bytes()))
            try:
                prepared.append(prepare(decoded, self.recipe.image, self.references))
            except NotAligned as error:
                raise NotAligned(f"{image.path.name}: {error}") from error
        return np.stack(prepared)

    def scores(self, images: Images) -> NDArray[np.float32]:
        """Return the scores of a batch: (images, labels), 0 to 1."""
        return scores_by(self.recipe, self.logits(images))

    def has_heat(self, question: Question, scores: NDArray[np.float32]) -> bool:
        """Return whether the heatmap of an image with these scores has heat; without a scale it always has."""
        return shade_for(self.spec, question, float(scores[question.output])) != 0


@dataclass(frozen=True)
class _Task:
    """One label of one image to measure."""

    image: MarkedImage
    question: Question
    with_curves: bool


@dataclass(frozen=True)
class _Finding:
    """The measured values of one task."""

    task: _Task
    pointing: Pointing
    empty: float
    """1: the heatmap has no heat."""
    alike: float
    curves: tuple[Curves, Curves] | None
    """The curves of the heatmap, and of a random map."""


def score_heatmaps(
    subject: Subject,
    marked: Sequence[MarkedImage],
    good: Sequence[MarkedImage] = (),
    *,
    most: int = 200,
    most_curves: int = 16,
    seed: int = 0,
) -> HeatmapScores:
    """Measure the heatmaps of a model.

    Args:
        subject: the model.
        marked: images that it was not trained on.
        good: images of good parts that neither trained it nor set its scale; they have no masks.
        most: images per label, and good images; a random selection if there are more.
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
            _Task(images[row], Question(label, place, points_at_presence(label, subject.recipe)), number < most_curves)
            for number, row in enumerate(drawn)
        ]
    findings = [
        finding for at in range(0, len(tasks), BATCH) for finding in _measure(subject, tasks[at : at + BATCH], rng)
    ]
    of_label = {
        name: [finding for finding in findings if finding.task.question.label.name == name]
        for name in subject.recipe.label_names
    }
    return HeatmapScores(
        method=subject.spec.method,
        layers=subject.spec.layers,
        chosen_by=subject.spec.chosen_by,
        tolerance=TOLERANCE,
        labels={name: _summary(found) for name, found in of_label.items() if found},
        false_heat=measure_false_heat(subject, [good[row] for row in rng.permutation(len(good))[:most]]),
    )


def measure_false_heat(subject: Subject, good: Sequence[MarkedImage]) -> FalseHeat | None:
    """Return how often the heatmaps of good images have heat; None without such images or without possible faults."""
    questions = fault_questions(subject.recipe)
    if not good or not questions:
        return None
    hot = []
    for begin in range(0, len(good), BATCH):
        prepared = subject.read(good[begin : begin + BATCH])
        hot += [[subject.has_heat(each, scores) for each in questions] for scores in subject.scores(prepared)]
    return false_heat_of(np.array(hot), [each.label.name for each in questions])


def false_heat_of(hot: NDArray[np.bool_], labels: Sequence[str]) -> FalseHeat:
    """Summarise which good images have heat.

    Args:
        hot: (images, labels).
        labels: their names.
    """

    def share(of: NDArray[np.bool_]) -> Measured:
        low, high = proportion(int(of.sum()), len(of)) or (0.0, 1.0)
        return Measured(value=float(of.mean()), low=low, high=high)

    by_label = {label: share(column) for label, column in zip(labels, hot.T, strict=True)}
    return FalseHeat(images=len(hot), share=share(np.asarray(hot.any(axis=1))), labels=by_label)


def _measure(subject: Subject, tasks: Sequence[_Task], rng: np.random.Generator) -> list[_Finding]:
    images = subject.read(task.image for task in tasks)
    asked = [(row, task.question.output, task.question.for_label) for row, task in enumerate(tasks)]
    maps, shuffled, scores = (
        subject.probe.maps(images, asked),
        subject.shuffled.maps(images, asked),
        subject.scores(images),
    )
    findings = []
    for row, task in enumerate(tasks):
        mask = read_mask(task.image.masks[task.question.label.name])
        findings.append(
            _Finding(
                task=task,
                pointing=point(heat_of(maps[row], *mask.shape), mask),
                empty=float(not subject.has_heat(task.question, scores[row])),
                alike=rank_correlation(maps[row], shuffled[row]),
                curves=_measure_curves(subject, task, images[row], maps[row], rng) if task.with_curves else None,
            )
        )
    return findings


def _measure_curves(
    subject: Subject, task: _Task, image: NDArray[np.float32], map_: Maps, rng: np.random.Generator
) -> tuple[Curves, Curves]:
    def scorer(images: Images) -> NDArray[np.float64]:
        scores = subject.scores(images)[:, task.question.output].astype(np.float64)
        return scores if task.question.for_label else 1 - scores

    random_map = rng.random(map_.shape, np.float32)
    return curves_of(image, map_, scorer), curves_of(image, random_map, scorer)


def _summary(findings: Sequence[_Finding]) -> LabelHeatmaps:
    samples = draws([finding.task.image.group for finding in findings])
    pointing = {
        name: np.array([getattr(finding.pointing, name) for finding in findings])
        for name in ("hit", "centre", "random", "energy", "area")
    }
    advantage = _measured(pointing["hit"] - pointing["centre"], samples)
    by_size = []
    for smallest, largest in zip((0.0, *SIZES), (*SIZES, 1.0), strict=True):
        of_size = (pointing["area"] >= smallest) & (pointing["area"] < largest)
        if of_size.any():
            groups = [finding.task.image.group for finding, chosen in zip(findings, of_size, strict=True) if chosen]
            hits = _measured(pointing["hit"][of_size], draws(groups))
            by_size.append(SizeClass(smallest=smallest, largest=largest, images=int(of_size.sum()), pointing=hits))
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
        for_label=findings[0].task.question.for_label,
        pointing=_measured(pointing.pop("hit"), samples),
        **{name: _measured(values, samples) for name, values in pointing.items()},
        advantage=advantage,
        by_size=tuple(by_size),
        empty=_measured(np.array([finding.empty for finding in findings]), samples),
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
    if images < FEWEST_MARKED_IMAGES:
        return None, f"only {images} images have a mask, and {FEWEST_MARKED_IMAGES} are needed"
    if advantage.low <= 0:
        return False, "its peaks do not point better than the middle of the image does"
    if alike.value > MOST_ALIKE:
        return False, "its maps hardly change when the weights of the network are shuffled"
    return True, ""
