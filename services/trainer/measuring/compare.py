"""Measure two models on the same images: the test split of one of them, which that one never learned from.

Two versions of one network, such as a threshold set and its origin, are compared by the scores that both store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.held_out import (
    TEST_TABLE,
    HeldOut,
    held_out,
    known_groups,
    learned_from,
    names_learned,
)
from services.trainer.errors import NotComparable
from services.trainer.evaluation.costs import Scores, is_ng, line_weights, verdict_costs
from services.trainer.evaluation.evaluate import evaluate
from services.trainer.promotion.comparison import Comparison, Side, find_comparison, store_comparison
from shared.contracts.bundle import (
    KERAS,
    SCORES,
    VARIANT_FILES,
    Bundle,
    BundleError,
    Variant,
    fastest_variant,
    read_bundle,
)
from shared.contracts.scores import as_array, read_scores
from shared.engines.bundled_references import references_of
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import EngineError, Images, Logits
from shared.imaging.codec import Image
from shared.imaging.preprocessing import prepare
from shared.imaging.references import NotAligned, References
from shared.intervals import draws, mean, spread
from shared.recipe import Recipe
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.verdict import scores_by

BATCH: Final = 32
"""Images that are in memory at once."""


@dataclass(frozen=True)
class ScoredTest:
    """The scores of two models on the test split of the candidate."""

    dataset: str
    groups: Sequence[str]
    """The group of each image."""
    truth: NDArray[np.float32]
    """(images, labels), in the order of the candidate's labels."""
    scores: Sequence[Scores]
    """The scores of the baseline and of the candidate, (images, labels) each, in the order of `truth`."""
    learned_from: Sequence[int | None]
    """Images that the baseline and the candidate learned from; None: not known."""
    known_groups: int
    """Groups with other images that the candidate learned from."""


def compare(store: ObjectStore, recipe: str, baseline: str, candidate: str) -> Comparison:
    """Measure two versions, unless their comparison is stored, and store the comparison.

    Each is measured by its own thresholds on the candidate's test split, in its fastest variant. Versions of one
    network are compared by the stored scores of the network.

    Raises:
        NotComparable: a model is missing, they have other labels, or they are of different networks and the images are
            not in object storage.
        StorageUnavailable: object storage is away.
    """
    if found := find_comparison(store, recipe, baseline, candidate):
        return found
    measured = _measure(store, _read_model(store, recipe, baseline), _read_model(store, recipe, candidate))
    store_comparison(store, measured)
    return measured


def _read_model(store: ObjectStore, recipe: str, version: str) -> Bundle:
    try:
        return read_bundle(store, recipe, version)
    except ObjectNotFound:
        raise NotComparable(f"recipe {recipe!r} has no model {version}") from None
    except BundleError as error:
        raise NotComparable(str(error)) from error


def _measure(store: ObjectStore, baseline: Bundle, candidate: Bundle) -> Comparison:
    judging = baseline_recipe(baseline.recipe, candidate.recipe)
    test = stored_scores(baseline, candidate) or _score_images(baseline, candidate, store)
    ng = is_ng(candidate.recipe, test.truth)
    weights = line_weights(candidate.recipe, ng)
    costs = [
        verdict_costs(recipe, ng, is_ng(recipe, rows))
        for recipe, rows in zip((judging, candidate.recipe), test.scores, strict=True)
    ]
    extra = costs[1] - costs[0]
    of_other_labels = judging.label_names != candidate.recipe.label_names
    truth_of_baseline = ng[:, np.newaxis].astype(np.float32) if of_other_labels else test.truth
    sides = [
        Side(
            version=bundle.version,
            learned_from=learned,
            evaluation=evaluate(recipe, truth, scores, test.groups),
        )
        for bundle, recipe, truth, scores, learned in zip(
            (baseline, candidate),
            (judging, candidate.recipe),
            (truth_of_baseline, test.truth),
            test.scores,
            test.learned_from,
            strict=True,
        )
    ]
    return Comparison(
        recipe=candidate.recipe.name,
        dataset=test.dataset,
        images=len(test.truth),
        groups=len(set(test.groups)),
        known_groups=test.known_groups,
        ng=int(ng.sum()),
        baseline=sides[0],
        candidate=sides[1],
        deciding=tuple(label.name for label in candidate.recipe.labels if label.decides),
        differences=tuple(rule_differences(baseline.recipe, candidate.recipe)),
        extra_cost=float((extra * weights).mean()),
        extra_cost_interval=spread(mean(extra, draws(test.groups) * weights)),
        compared_at=datetime.now(UTC),
    )


def stored_scores(baseline: Bundle, candidate: Bundle) -> ScoredTest | None:
    """Return the scores that two versions of one network store of their test split; None for different networks.

    The groups of the training split are not stored, so the known groups are those of the validation split.
    """
    same = (KERAS, *VARIANT_FILES[Variant.FP32], TEST_TABLE)
    if any(not baseline.files.get(name) or baseline.files[name] != candidate.files.get(name) for name in same):
        return None
    if not all(SCORES in bundle.files for bundle in (baseline, candidate)):
        return None
    stored = [read_scores(bundle) for bundle in (baseline, candidate)]
    splits = [each.splits.get("test") for each in stored]
    before, after = splits
    if before is None or after is None or before.names != after.names:
        return None
    order = [[each.labels.index(name) for name in candidate.recipe.label_names] for each in stored]
    valid = stored[1].splits.get("valid")
    learned = [names_learned(bundle) for bundle in (baseline, candidate)]
    return ScoredTest(
        dataset=candidate.manifest.dataset,
        groups=after.groups,
        truth=as_array(after.truth)[:, order[1]],
        scores=[as_array(split.scores)[:, columns] for split, columns in zip((before, after), order, strict=True)],
        learned_from=[len(names.intersection(after.names)) if names else None for names in learned],
        known_groups=len(set(valid.groups) & set(after.groups)) if valid else 0,
    )


def _score_images(baseline: Bundle, candidate: Bundle, store: ObjectStore) -> ScoredTest:
    """Score the images of the candidate's test split with both models."""
    test = held_out(candidate, store)
    return ScoredTest(
        dataset=test.version.reference,
        groups=test.groups,
        truth=test.truth,
        scores=_scores((baseline, candidate), test, store),
        learned_from=[learned_from(bundle, test, store) for bundle in (baseline, candidate)],
        known_groups=known_groups(candidate, test),
    )


def baseline_recipe(baseline: Recipe, candidate: Recipe) -> Recipe:
    """Return the recipe by which the baseline is judged: both are judged by one rule of NG and costs.

    It is the candidate's recipe with the baseline's thresholds, whether or not each measures an anomaly beside the
    labels. A baseline that learned from good images alone, before the labels of the candidate could be learned, has its
    own label.

    Raises:
        NotComparable: they have other labels, or another task.
    """
    same_labels = set(baseline.annotated.label_names) == set(candidate.annotated.label_names)
    if baseline.good_by is not None and candidate.good_by is None and same_labels:
        return baseline.model_copy(update={"costs": candidate.costs, "defect_rate": candidate.defect_rate})
    before, after = baseline.without_anomaly, candidate.without_anomaly
    if baseline.task is not candidate.task or set(before.label_names) != set(after.label_names):
        raise NotComparable(
            f"one judges {', '.join(before.label_names)} ({baseline.task.value}), "
            f"the other {', '.join(after.label_names)} ({candidate.task.value})"
        )
    return candidate.with_thresholds({label.name: label.threshold for label in baseline.labels})


def rule_differences(baseline: Recipe, candidate: Recipe) -> list[str]:
    """Return where two recipes of the same labels disagree on what makes a part NG or what a wrong verdict costs."""
    before, after = ({label.name: label for label in each.annotated.labels} for each in (baseline, candidate))
    pairs: dict[str, tuple[object, object]] = {"task": (baseline.annotated.task.value, candidate.annotated.task.value)}
    for name in {**after, **before}:
        both = before.get(name), after.get(name)
        roles, expected = zip(
            *((each.role.value, each.expected) if each else (None, None) for each in both), strict=True
        )
        pairs |= {f"role of {name}": roles, f"expected value of {name}": expected}
    pairs |= {
        "cost of an escape": (baseline.costs.escape, candidate.costs.escape),
        "cost of an overkill": (baseline.costs.overkill, candidate.costs.overkill),
        "defect rate": (baseline.defect_rate, candidate.defect_rate),
    }
    return [
        f"{what} is {_format_value(now)}, was {_format_value(then)}"
        for what, (then, now) in pairs.items()
        if now != then
    ]


def _format_value(value: object) -> str:
    """Write a value as a recipe has it."""
    if value is None:
        return "not given"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _prepared(bundle: Bundle, references: References | None, images: Sequence[Image], names: Sequence[str]) -> Images:
    """Return the images as the network of a model takes them."""
    prepared = []
    for image, name in zip(images, names, strict=True):
        try:
            prepared.append(prepare(image, bundle.recipe.image, references))
        except NotAligned as error:
            raise NotComparable(f"model {bundle.version} can't inspect {name}: {error}") from error
    return np.stack(prepared)


def _scores(bundles: Sequence[Bundle], test: HeldOut, store: ObjectStore) -> list[Scores]:
    """Score the images with each model: (images, labels), in the order of the labels of the last model's recipe.

    A label that a model lacks has the score 0. A model of good images alone has its own label.
    """
    logits: list[list[Logits]] = [[] for _ in bundles]
    try:
        with ExitStack() as stack:
            engines, golden = [], [references_of(bundle) for bundle in bundles]
            for bundle in bundles:
                network, weights = (bundle.file(name) for name in VARIANT_FILES[fastest_variant(bundle)])
                engines.append(stack.enter_context(closing(OpenVinoEngine(network, weights))))
            for start in range(0, len(test.images), BATCH):
                images = test.read(store, slice(start, start + BATCH))
                names = [image.name for image in test.images[start : start + BATCH]]
                for bundle, engine, references, batches in zip(bundles, engines, golden, logits, strict=True):
                    batches.append(engine.logits(_prepared(bundle, references, images, names)))
    except (EngineError, BundleError) as error:
        raise NotComparable(str(error)) from error
    order = bundles[-1].recipe.label_names
    found = []
    for bundle, batches in zip(bundles, logits, strict=True):
        own, scores = bundle.recipe.label_names, scores_by(bundle.recipe, np.concatenate(batches))
        if bundle.recipe.good_by is None:
            none = np.zeros(len(scores), np.float32)
            scores = np.stack([scores[:, own.index(name)] if name in own else none for name in order], axis=1)
        found.append(scores)
    return found
