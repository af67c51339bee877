"""Choose the thresholds of all labels together, by the escapes and the overkill of the verdicts.

A multi-label verdict is NG if any label has a fault, so thresholds that are chosen label by label add up to far more
overkill than any of them causes. Here the scores of each label become probabilities, and one number cuts all labels: a
part is NG from a certain probability of its likeliest fault on. This number is the only thing to choose, and it is
written back as one threshold per label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student

from services.trainer.evaluation.costs import Scores, Truth, is_ng
from services.trainer.evaluation.probabilities import Calibration, Numbers, calibrate
from shared.contracts.operating_points import OperatingPoint, OperatingPointName, OperatingPoints
from shared.contracts.training import TrainingOptions
from shared.intervals import proportion
from shared.recipe import Recipe, Task
from shared.verdict import faults_if_chosen, has_verdicts, possible_faults

MOST_OVERKILL: Final = 0.2
"""Highest overkill rate of the balanced operating point."""
FEW_ERRORS_RATE: Final = 0.02
"""Escape rate of the operating point with few escapes, and overkill rate of the one with few false rejects."""
SAME_ESCAPES: Final = 0.01
"""Escape rates that differ by less count as equal, so that one escape less does not cost many false rejects."""
BOUNDS: Final = (0.001, 0.999)
"""The lowest and the highest threshold."""
DIGITS: Final = 4
FOLDS: Final = 5
EVEN_PROBABILITY: Final = 0.5
ALLOWED_OVERKILL: Final = TrainingOptions().overkill
ROUNDING: Final = 0.01
"""Deviations by which a bound is above the largest value, so that a rounded threshold is too."""
FEWEST_NG: Final = 5
"""With fewer images of NG parts, a model learns from good images only, and its threshold is chosen by them."""

Rates = TypeVar("Rates", float, Numbers)


@dataclass(frozen=True)
class Cuts:
    """Every probability at which images can be cut into ok and NG, from NG for all to ok for all."""

    faults: Numbers
    """(images,), the probability of the likeliest fault of each image."""
    ng: NDArray[np.bool_]
    """(images,), which images show an NG part."""

    @cached_property
    def values(self) -> Numbers:
        return np.unique(self.faults)

    @cached_property
    def at(self) -> Numbers:
        """(cuts,), in the middle between two neighbouring probabilities."""
        edges = np.concatenate([[0.0], self.values, [1.0]])
        return np.asarray((edges[1:] + edges[:-1]) / 2, np.float64)

    @cached_property
    def escapes(self) -> Numbers:
        """(cuts,), the share of the NG images that are called ok."""
        return self._below(self.ng) / max(1, int(self.ng.sum()))

    @cached_property
    def overkill(self) -> Numbers:
        """(cuts,), the share of the ok images that are called NG."""
        return 1 - self._below(~self.ng) / max(1, int((~self.ng).sum()))

    @property
    def right(self) -> Numbers:
        """(cuts,), the share of right verdicts."""
        share = float(self.ng.mean())
        return 1 - share * self.escapes - (1 - share) * self.overkill

    def choose(self, name: OperatingPointName, recipe: Recipe, overkill: float = ALLOWED_OVERKILL) -> float:
        """Return the probability at which an operating point cuts; ``overkill`` is the allowed share."""
        good = self.faults[~self.ng]
        from_good_alone = name is OperatingPointName.ALLOWED_OVERKILL or (
            name is OperatingPointName.FEW_FALSE_REJECTS and recipe.good_by is not None and not self.ng.any()
        )
        if from_good_alone:
            allowed = overkill if name is OperatingPointName.ALLOWED_OVERKILL else FEW_ERRORS_RATE
            return float(expit(good_bound(logit(good), allowed))) if len(good) > 1 else EVEN_PROBABILITY
        if self.ng.all() or not self.ng.any():
            return EVEN_PROBABILITY
        balanced = self._balanced()
        match name:
            case OperatingPointName.BALANCED:
                chosen = balanced
            case OperatingPointName.FEW_ESCAPES:
                chosen = min(balanced, int(np.flatnonzero(self.escapes <= FEW_ERRORS_RATE)[-1]))
            case OperatingPointName.FEW_FALSE_REJECTS:
                chosen = max(balanced, int(np.flatnonzero(self.overkill <= FEW_ERRORS_RATE)[0]))
            case OperatingPointName.LEAST_COST:
                costs = cost_at(recipe, self.ng, self.escapes, self.overkill)
                widths = np.diff(np.concatenate([[0.0], self.values, [1.0]]))
                chosen = int(np.argmax(np.where(costs <= costs.min() + 1e-9, widths, -1.0)))
        return float(self.at[chosen])

    def _balanced(self) -> int:
        """Return the cut with the fewest escapes among those with little overkill that beat verdicts without a model.

        They must bring at least half of the right verdicts that any cut brings beyond calling all parts ok, or all NG.
        If none does, the cut with the most right verdicts is returned.
        """
        without_model = max(self.ng.mean(), 1 - self.ng.mean())
        enough = (self.overkill <= MOST_OVERKILL) & (self.right >= (without_model + self.right.max()) / 2)
        if not enough.any():
            return int(np.argmax(self.right))
        same = max(SAME_ESCAPES, 1.01 / int(self.ng.sum()))
        few = enough & (self.escapes <= self.escapes[enough].min() + same)
        return int(np.flatnonzero(few)[-1])

    def _below(self, images: NDArray[np.bool_]) -> Numbers:
        """Return for each cut the number of some images whose fault is less probable."""
        return np.concatenate([np.searchsorted(np.sort(self.faults[images]), self.values), [images.sum()]]).astype(
            np.float64
        )


def good_bound(values: NDArray[np.floating], overkill: float) -> float:
    """Return a value that the next good image exceeds with a probability of ``overkill`` at most.

    It is an order statistic (Vovk et al. 2005, "Algorithmic Learning in a Random World"); with too few images for that,
    Student's prediction bound.

    Args:
        values: (images,), at least two, of good images.
        overkill: 0 to 1.
    """
    count, ordered, deviation = len(values), np.sort(values), values.std(ddof=1)
    rank = int(np.ceil((1 - overkill) * (count + 1)))
    if rank > count:
        return float(values.mean() + student.ppf(1 - overkill, count - 1) * np.sqrt(1 + 1 / count) * deviation)
    if rank == count:
        return float(ordered[-1] + ROUNDING * deviation)
    return float((ordered[rank - 1] + ordered[rank]) / 2)


def cost_at(recipe: Recipe, ng: NDArray[np.bool_], escapes: Rates, overkill: Rates) -> Rates:
    """Return the expected cost per part on the line of rates of escapes and overkill, which have any equal shape."""
    share = recipe.defect_rate if recipe.defect_rate is not None else float(ng.mean())
    return share * recipe.costs.escape * escapes + (1 - share) * recipe.costs.overkill * overkill


@dataclass(frozen=True)
class LabelCalibrations:
    """The calibration of each label of a recipe."""

    recipe: Recipe
    labels: tuple[Calibration, ...]

    def probabilities(self, scores: Scores) -> Numbers:
        """Return the probability of each label of each image: (images, labels)."""
        columns = zip(self.labels, scores.T, strict=True)
        return np.stack([calibration.probabilities(column) for calibration, column in columns], axis=1)

    def faults(self, scores: Scores) -> Numbers:
        """Return the probability of the likeliest fault of each image: (images,)."""
        probabilities = self.probabilities(scores)
        if self.recipe.task is Task.EXCLUSIVE:
            ng = faults_if_chosen(self.recipe)
            fault, ok = probabilities[:, ng].max(axis=1), probabilities[:, ~ng].max(axis=1)
            return np.asarray(fault / (fault + ok), np.float64)
        deciding = [
            1 - column if label.is_fault_if_absent else column
            for label, column in zip(self.recipe.labels, probabilities.T, strict=True)
            if label.decides
        ]
        return np.asarray(np.max(deciding, axis=0), np.float64)

    def thresholds(self, probability: float) -> dict[str, float]:
        """Return the thresholds with which a part is NG from a probability of its likeliest fault on.

        A label that decides nothing gets the threshold at which it is as likely as not.
        """
        chosen = {}
        faults = faults_if_chosen(self.recipe)
        for label, calibration, is_fault in zip(self.recipe.labels, self.labels, faults, strict=True):
            if self.recipe.task is Task.EXCLUSIVE:
                score = probability if is_fault else 1 - probability
            elif not label.decides:
                score = calibration.score_of(EVEN_PROBABILITY)
            else:
                score = calibration.score_of(1 - probability if label.is_fault_if_absent else probability)
            chosen[label.name] = round(float(np.clip(score, *BOUNDS)), DIGITS)
        return chosen


def fit_calibrations(recipe: Recipe, truth: Truth, scores: Scores) -> LabelCalibrations:
    """Calibrate the scores of each label; scores of exclusive labels are probabilities already, and stay unchanged."""
    if recipe.task is Task.EXCLUSIVE:
        return LabelCalibrations(recipe, (Calibration(1.0, 0.0),) * len(recipe.labels))
    columns = range(truth.shape[1])
    return LabelCalibrations(recipe, tuple(calibrate(scores[:, each], truth[:, each] > 0) for each in columns))


def choose_thresholds(
    recipe: Recipe,
    truth: Truth,
    scores: Scores,
    groups: Sequence[str],
    requested: OperatingPointName | None = None,
    *,
    overkill: float = ALLOWED_OVERKILL,
    unlike: NDArray[np.bool_] | None = None,
) -> tuple[Recipe, OperatingPoints | None]:
    """Return the recipe with the thresholds of an operating point, and all operating points.

    Escapes and overkill of each point are counted by cross-validation: five times, calibration and cut are chosen
    without a fifth of the groups, and applied to this fifth. So no image chose the thresholds by which it is counted.

    Args:
        recipe: has the roles of the labels; its costs and defect rate choose the point ``least-cost``.
        truth: the labels of images that the network did not learn from.
        scores: the network's scores of these images.
        groups: the group of each image.
        requested: the operating point; by default ``least-cost`` if the recipe has a defect rate, else ``balanced``; of
            a model of good images alone, ``allowed-overkill``.
        overkill: the share of good parts that such a model may call NG.
        unlike: (images,), which images are NG whatever the labels are, because they are unlike anything good.

    Returns:
        The recipe, and None instead of operating points if no label can make a part NG.
    """
    whole = fit_calibrations(recipe, truth, scores)
    if not has_verdicts(recipe):
        even = whole.thresholds(EVEN_PROBABILITY) if recipe.task is Task.MULTI_LABEL else {}
        return recipe.with_thresholds(even), None
    ng = is_ng(recipe, truth)
    names = points_for(recipe, ng)
    default = OperatingPointName.LEAST_COST if recipe.defect_rate else OperatingPointName.BALANCED
    if recipe.good_by is not None:
        default = OperatingPointName.ALLOWED_OVERKILL
    chosen = requested if requested in names else default
    judged = {name: np.zeros(len(ng), np.bool_) for name in names}
    for learned, held_out in _folds(ng, groups):
        part = fit_calibrations(recipe, truth[learned], scores[learned])
        cuts, faults = Cuts(part.faults(scores[learned]), ng[learned]), part.faults(scores[held_out])
        for name in names:
            judged[name][held_out] = faults >= cuts.choose(name, recipe, overkill)
    if unlike is not None:
        judged = {name: each | unlike for name, each in judged.items()}
    cuts = Cuts(whole.faults(scores), ng)
    points = {name: _point(recipe, whole, cuts.choose(name, recipe, overkill), ng, judged[name]) for name in names}
    share = float(ng.mean())
    operating_points = OperatingPoints(
        chosen=chosen,
        images=len(ng),
        groups=len(set(groups)),
        all_ok_right=1 - share,
        all_ng_right=share,
        advice=tuple(_advice(recipe, truth, points[chosen], ng)),
        points=points,
    )
    return recipe.with_thresholds(points[chosen].thresholds), operating_points


def points_for(recipe: Recipe, ng: NDArray[np.bool_]) -> list[OperatingPointName]:
    """Return the operating points that can be chosen by some images, of which ``ng`` says which are NG."""
    of_good = [OperatingPointName.FEW_FALSE_REJECTS, OperatingPointName.ALLOWED_OVERKILL]
    if recipe.good_by is not None and ng.sum() < FEWEST_NG:
        return of_good
    without = set() if recipe.defect_rate else {OperatingPointName.LEAST_COST}
    if recipe.good_by is None:
        without.add(OperatingPointName.ALLOWED_OVERKILL)
    return [name for name in OperatingPointName if name not in without]


def point_of(recipe: Recipe, points: OperatingPoints) -> OperatingPointName | None:
    """Return the operating point with the thresholds of a recipe, preferring the chosen point; None without one."""
    thresholds = {label.name: label.threshold for label in recipe.labels}
    equal = [name for name, point in points.points.items() if point.thresholds.items() <= thresholds.items()]
    return points.chosen if points.chosen in equal else next(iter(equal), None)


def _folds(ng: NDArray[np.bool_], groups: Sequence[str]) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return for each fold (the other images, its images); groups stay whole, and folds have similar shares of NG.

    With fewer groups than folds, images are divided one by one.
    """
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < FOLDS:
        names, members = np.arange(len(ng)), np.arange(len(ng))
    shares = np.bincount(members, ng) / np.bincount(members)
    order = np.lexsort((np.random.default_rng(0).random(len(names)), shares))
    fold_of = np.empty(len(names), int)
    fold_of[order] = np.arange(len(names)) % FOLDS
    own = [fold_of[members] == fold for fold in range(FOLDS)]
    return [(~each, each) for each in own if each.any() and not each.all()]


def _point(
    recipe: Recipe, whole: LabelCalibrations, probability: float, ng: NDArray[np.bool_], judged_ng: NDArray[np.bool_]
) -> OperatingPoint:
    escapes, overkills = int((ng & ~judged_ng).sum()), int((~ng & judged_ng).sum())
    of_ng, of_ok = int(ng.sum()), int((~ng).sum())
    right = len(ng) - escapes - overkills
    escape_rate, overkill_rate = escapes / max(1, of_ng), overkills / max(1, of_ok)
    intervals = {
        "escape_rate": proportion(escapes, of_ng),
        "overkill_rate": proportion(overkills, of_ok),
        "verdict_accuracy": proportion(right, len(ng)),
    }
    return OperatingPoint(
        thresholds=whole.thresholds(probability),
        probability=round(probability, DIGITS),
        escapes=escapes,
        ng=of_ng,
        overkills=overkills,
        ok=of_ok,
        escape_rate=escape_rate if of_ng else None,
        overkill_rate=overkill_rate if of_ok else None,
        verdict_accuracy=right / len(ng),
        cost=cost_at(recipe, ng, escape_rate, overkill_rate),
        intervals={name: interval for name, interval in intervals.items() if interval},
    )


def _advice(recipe: Recipe, truth: Truth, point: OperatingPoint, ng: NDArray[np.bool_]) -> list[str]:
    """Return in words why the verdicts of an operating point are not usable, and what would help."""
    if ng.all() or not ng.any():
        kind, other, error = ("NG", "ok", "overkill") if ng.all() else ("ok", "NG", "escapes")
        return [
            f"every image shows an {kind} part, so nothing can be said about {error}: label images of {other} parts as "
            "soon as there are some"
        ]
    share = float(ng.mean())
    if recipe.defect_rate is None:
        what, model, without_model = "right", point.verdict_accuracy, max(share, 1 - share)
        is_useless, figures = model <= without_model, f"{without_model:.1%} right, the model {model:.1%}"
        call = "NG" if share > 1 - share else "ok"
    else:
        all_ok = cost_at(recipe, ng, 1.0, 0.0)
        all_ng = cost_at(recipe, ng, 0.0, 1.0)
        what, without_model = "cheap", min(all_ok, all_ng)
        is_useless, figures = point.cost >= without_model, f"a cost of {without_model:.3f}, the model {point.cost:.3f}"
        call = "NG" if all_ng < all_ok else "ok"
    if not is_useless:
        return []
    deciding = [
        (int((truth[:, column] > 0).sum() if not label.is_fault_if_absent else (truth[:, column] == 0).sum()), label)
        for column, (label, can_be_fault) in enumerate(zip(recipe.labels, possible_faults(recipe), strict=True))
        if can_be_fault
    ]
    if recipe.good_by is not None:
        return [
            f"the verdicts are no more {what} than calling every part {call} ({figures}): NG parts are too like good "
            "ones for a model that has seen good ones alone; label NG parts, and train a model that learns from them"
        ]
    rare = ", ".join(f"{label.name} ({count})" for count, label in sorted(deciding, key=lambda each: each[0])[:3])
    size = f"{recipe.image.height} x {recipe.image.width}"
    return [
        f"the verdicts are no more {what} than calling every part {call} ({figures}): label more NG parts, above all "
        f"of the rarest faults: {rare}; and use a larger image if defects are hard to see at {size} pixels"
    ]
