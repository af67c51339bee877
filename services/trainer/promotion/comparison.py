"""Two models on the same images: the test part of one of them, which that one never learned from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.trainer.datasets.held_out import HeldBack, Incomparable, held_back, known_groups, learned_from
from services.trainer.evaluation.evaluate import Evaluation, Scores, evaluate, is_ng, line_weights
from services.trainer.promotion.gate import Interrupted
from shared.contracts.bundle import VARIANT_FILES, Bundle, BundleError, comparison_key, fastest_variant, read_bundle
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import EngineError, Images, Logits
from shared.imaging.codec import Image
from shared.imaging.preprocessing import prepare
from shared.intervals import Interval, draws, mean, spread
from shared.messages import ComparisonRequested, Verdict
from shared.recipe import Label, Recipe, Role
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.verdict import judge, scores_of

BATCH: Final = 32
"""Images that are in memory at once."""

StopCheck = Callable[[], bool]
"""Whether to leave off, asked between two batches."""


class Side(BaseModel):
    """One of the two models."""

    model_config = ConfigDict(frozen=True)

    version: str
    learned_from: int | None = Field(
        description="of the images, those that it was trained or validated on, which flatter it; null: not known"
    )
    evaluation: Evaluation


class Comparison(BaseModel):
    """Two models, measured on the same images by the same recipe."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    dataset: str = Field(description="the dataset version that the images are of")
    images: int
    groups: int
    known_groups: int = Field(description="of the groups, those of which the candidate learned from other images")
    ng: int = Field(description="of the images, those that show an NG part")
    baseline: Side
    candidate: Side = Field(description="the images are its test part, and the roles and costs those of its recipe")
    deciding: tuple[str, ...] = Field(description="the labels that make a part ok or NG")
    differences: tuple[str, ...] = Field(description="between the recipes, in what makes a part NG and what that costs")
    extra_cost: float = Field(description="of the candidate, per image; below 0 where it is cheaper")
    extra_cost_interval: Interval | None = Field(description="95 %, of the difference on the same images")
    compared_at: AwareDatetime


class Comparisons:
    """Compares the models in object storage. Neither models nor test parts ever change, so a result is kept."""

    def __init__(self, store: ObjectStore, stopped: StopCheck = lambda: False) -> None:
        """``stopped`` says when to leave a comparison."""
        self._store = store
        self._stopped = stopped

    def known(self, recipe: str, baseline: str, candidate: str) -> Comparison | None:
        """What was measured before; None: not compared, not comparable then, or by a build that measured less."""
        try:
            return Comparison.model_validate_json(self._store.get(comparison_key(recipe, baseline, candidate)))
        except (ObjectNotFound, ValueError):
            return None

    def compare(self, recipe: str, baseline: str, candidate: str) -> Comparison:
        """Measure two versions, each in its compiled variant and by its own thresholds, on the candidate's test part.

        Raises:
            Incomparable: a model is not there, they have other labels, or the images can't be had.
            Interrupted: somebody said to leave off.
            StorageUnavailable: object storage is away.
        """
        if known := self.known(recipe, baseline, candidate):
            return known
        found = self._measure(self._bundle(recipe, baseline), self._bundle(recipe, candidate))
        key = comparison_key(recipe, baseline, candidate)
        self._store.put(key, found.model_dump_json().encode(), "application/json")
        return found

    def answer(self, asked: ComparisonRequested) -> None:
        """Compare for somebody who looks for what came out in object storage: the comparison, or why there is none.

        Raises:
            Interrupted: somebody said to leave off.
            StorageUnavailable: object storage is away.
        """
        try:
            self.compare(asked.recipe, asked.baseline, asked.candidate)
        except Incomparable as error:
            self.refuse(asked, str(error))

    def refuse(self, asked: ComparisonRequested, reason: str) -> None:
        """Say why there is no comparison, where whoever asked looks for one."""
        key = comparison_key(asked.recipe, asked.baseline, asked.candidate)
        refusal = {"reason": reason, "at": asked.at.isoformat()}
        self._store.put(key, json.dumps(refusal).encode(), "application/json")

    def _bundle(self, recipe: str, version: str) -> Bundle:
        try:
            return read_bundle(self._store, recipe, version)
        except ObjectNotFound:
            raise Incomparable(f"recipe {recipe!r} has no model {version}") from None
        except BundleError as error:
            raise Incomparable(str(error)) from error

    def _measure(self, baseline: Bundle, candidate: Bundle) -> Comparison:
        judging = judged_alike(baseline.recipe, candidate.recipe)
        test = held_back(candidate, self._store)
        scores = _scores((baseline, candidate), test, self._store, self._stopped)
        ng = is_ng(candidate.recipe, test.truth)
        weights = line_weights(candidate.recipe, ng)
        extra = _costs(candidate.recipe, ng, scores[1]) - _costs(judging, ng, scores[0])
        return Comparison(
            recipe=candidate.recipe.name,
            dataset=test.version.reference,
            images=len(test.images),
            groups=len(set(test.groups)),
            known_groups=known_groups(candidate, test),
            ng=int(ng.sum()),
            baseline=self._side(baseline, judging, test, scores[0]),
            candidate=self._side(candidate, candidate.recipe, test, scores[1]),
            deciding=tuple(label.name for label in candidate.recipe.labels if _decides(label)),
            differences=tuple(differences(baseline.recipe, candidate.recipe)),
            extra_cost=float((extra * weights).mean()),
            extra_cost_interval=spread(mean(extra, draws(test.groups) * weights)),
            compared_at=datetime.now(UTC),
        )

    def _side(self, bundle: Bundle, judging: Recipe, test: HeldBack, scores: Scores) -> Side:
        return Side(
            version=bundle.version,
            learned_from=learned_from(bundle, test, self._store),
            evaluation=evaluate(judging, test.truth, scores, test.groups),
        )


def judged_alike(baseline: Recipe, candidate: Recipe) -> Recipe:
    """The candidate's recipe with the baseline's thresholds: one rule says what NG is and costs, for both.

    Raises:
        Incomparable: they have other labels, or another task.
    """
    if baseline.task is not candidate.task or set(baseline.label_names) != set(candidate.label_names):
        raise Incomparable(
            f"one judges {', '.join(baseline.label_names)} ({baseline.task.value}), "
            f"the other {', '.join(candidate.label_names)} ({candidate.task.value})"
        )
    labels = tuple(
        label.model_copy(update={"threshold": baseline.label(label.name).threshold}) for label in candidate.labels
    )
    return candidate.model_copy(update={"labels": labels})


def differences(baseline: Recipe, candidate: Recipe) -> list[str]:
    """In what two recipes of the same labels disagree on what makes a part NG, and on what a wrong verdict costs."""
    pairs: dict[str, tuple[object, object]] = {
        f"role of {label.name}": (baseline.label(label.name).role.value, label.role.value) for label in candidate.labels
    }
    pairs |= {
        f"expected value of {label.name}": (baseline.label(label.name).expected, label.expected)
        for label in candidate.labels
    }
    pairs |= {
        "cost of an escape": (baseline.costs.escape, candidate.costs.escape),
        "cost of an overkill": (baseline.costs.overkill, candidate.costs.overkill),
        "defect rate": (baseline.defect_rate, candidate.defect_rate),
    }
    return [
        f"{what} is {_written(after)}, was {_written(before)}"
        for what, (before, after) in pairs.items()
        if before != after
    ]


def _written(value: object) -> str:
    """As a recipe has it."""
    if value is None:
        return "not given"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decides(label: Label) -> bool:
    return label.role is not Role.ATTRIBUTE or label.expected is not None


def _costs(recipe: Recipe, ng: NDArray[np.bool_], scores: Scores) -> NDArray[np.float64]:
    """What each verdict costs: (images,); 0 where it is right."""
    said_ng = np.array([judge(recipe, row).verdict is Verdict.NG for row in scores])
    return np.asarray(np.where(ng, recipe.costs.escape, recipe.costs.overkill) * (ng != said_ng), np.float64)


def _scores(bundles: Sequence[Bundle], test: HeldBack, store: ObjectStore, stopped: StopCheck) -> list[Scores]:
    """What the line would get from each model: (images, labels), in the order of the last one's recipe."""
    logits: list[list[Logits]] = [[] for _ in bundles]
    try:
        with ExitStack() as stack:
            engines = [stack.enter_context(closing(_engine_of(bundle))) for bundle in bundles]
            for at in range(0, len(test.images), BATCH):
                if stopped():
                    raise Interrupted
                images = test.read(store, slice(at, at + BATCH))
                for bundle, engine, said in zip(bundles, engines, logits, strict=True):
                    said.append(engine.logits(prepared(images, bundle.recipe)))
    except EngineError as error:
        raise Incomparable(str(error)) from error
    order = bundles[-1].recipe
    return [_ordered(bundle.recipe, np.concatenate(said), order) for bundle, said in zip(bundles, logits, strict=True)]


def _engine_of(bundle: Bundle) -> OpenVinoEngine:
    network, weights = VARIANT_FILES[fastest_variant(bundle)]
    return OpenVinoEngine(bundle.file(network), bundle.file(weights))


def _ordered(recipe: Recipe, logits: Logits, order: Recipe) -> Scores:
    """The scores of a network, its labels in the order of another recipe."""
    columns = [recipe.label_names.index(name) for name in order.label_names]
    return scores_of(logits, recipe.task)[:, columns]


def prepared(images: Sequence[Image], recipe: Recipe) -> Images:
    """Images as a model of that recipe takes them."""
    return np.stack([prepare(image, recipe.image) for image in images])
