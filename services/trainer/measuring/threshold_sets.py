"""Make a model version with other thresholds: the same network, evaluated again from its stored scores.

ADR 12 says why a threshold set is a model version like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from services.trainer.errors import TrainerError
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.report.page import ReportContent, facts_of, render
from services.trainer.evaluation.thresholds import OperatingPoints
from services.trainer.jobs.announcement import kept
from services.trainer.variants.proof import LeftOut, Proof, compare
from shared.contracts.bundle import (
    EVALUATION,
    HISTORY,
    MANIFEST,
    RECIPE,
    REPORT,
    SCORES,
    VARIANT_FILES,
    Bundle,
    BundleError,
    Variant,
    folder_of,
    read_bundle,
    version_name,
    write_bundle,
)
from shared.contracts.scores import ScoredImages, ScoredSplit, as_array, read_scores
from shared.messages import ThresholdsRequested, ThresholdsStored
from shared.recipe import Recipe, Task
from shared.storage.port import ObjectNotFound, ObjectStore

MISTAKES: Final = 12
SHOT: Final = "mistake_"


class WrongThresholds(TrainerError):
    """Thresholds that can't be set; the message says why."""


def set_thresholds(asked: ThresholdsRequested, store: ObjectStore) -> ThresholdsStored:
    """Make the requested version and store it, unless it is stored already.

    Raises:
        TrainerError: there is no such model or label, or the variants judge too differently at these thresholds.
        BundleError: the model must not be used.
        StorageError: of the storage itself.
    """
    version = version_name(asked.at, asked.thresholds_id)
    if store.exists(f"{folder_of(asked.recipe, version)}/{MANIFEST}"):
        return _told(asked, read_bundle(store, asked.recipe, version))
    try:
        base = read_bundle(store, asked.recipe, asked.model_version)
    except ObjectNotFound:
        raise WrongThresholds(f"recipe {asked.recipe!r} has no model {asked.model_version}") from None
    recipe = with_thresholds(base.recipe, asked.thresholds)
    scored = read_scores(base)
    if scored.labels != recipe.label_names:
        raise BundleError(f"{SCORES} of model {base.version} is of other labels: do not use it")
    made = Derived(base, recipe, scored, asked, version).bundle()
    write_bundle(store, made.manifest, made.files)
    return _told(asked, made)


def _told(asked: ThresholdsRequested, bundle: Bundle) -> ThresholdsStored:
    return kept(asked, bundle.manifest, {label.name: label.threshold for label in bundle.recipe.labels})


def with_thresholds(recipe: Recipe, thresholds: Mapping[str, float]) -> Recipe:
    """A recipe with some other thresholds.

    Raises:
        WrongThresholds: it has no thresholds, or not of such a label, or nothing changes.
    """
    if recipe.task is Task.EXCLUSIVE:
        raise WrongThresholds(
            f"recipe {recipe.name!r} has no thresholds: of its labels the one with the highest score wins"
        )
    for name in thresholds:
        if name not in recipe.label_names:
            raise WrongThresholds(
                f"recipe {recipe.name!r} has no label {name!r}: there is {', '.join(recipe.label_names)}"
            )
    labels = tuple(
        label.model_copy(update={"threshold": thresholds.get(label.name, label.threshold)}) for label in recipe.labels
    )
    if labels == recipe.labels:
        raise WrongThresholds("these are the thresholds that the model has: move one")
    return recipe.model_copy(update={"labels": labels})


@dataclass(frozen=True)
class Derived:
    """A model and other thresholds, and all that follows."""

    base: Bundle
    recipe: Recipe
    """With the new thresholds."""
    scored: ScoredImages
    asked: ThresholdsRequested
    version: str

    def bundle(self) -> Bundle:
        """The version, with every file that thresholds change made again.

        Raises:
            WrongThresholds: the compiled variant changes too many verdicts of the network at these thresholds.
        """
        changed = {
            RECIPE: self.recipe.to_yaml().encode(),
            EVALUATION: json.dumps(self.document, separators=(",", ":")).encode(),
            SCORES: self.scored.model_dump_json().encode(),
            **self._shots,
        }
        if REPORT in self.base.files:
            changed[REPORT] = self._report().encode()
        files = {name: content for name, content in self.base.files.items() if self._stays(name)} | changed
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        origin = {
            "version": self.version,
            "created_at": self.asked.at,
            "derived_from": self.base.version,
            "author": self.asked.by,
            "reason": self.asked.reason,
        }
        manifest = self.base.manifest.model_copy(update={**origin, "files": digests})
        return Bundle(manifest, files)

    def _stays(self, name: str) -> bool:
        left_out = (
            file for variant, proof in self.proofs.items() if not proof.holds for file in VARIANT_FILES[variant]
        )
        return name not in set(left_out) and not name.startswith(SHOT) and name != REPORT

    @cached_property
    def valid(self) -> EvaluationRun:
        """The images that chose the thresholds."""
        return run_of(self.recipe, self.scored.splits["valid"])

    @cached_property
    def test(self) -> EvaluationRun:
        """The images that nothing was chosen on."""
        return run_of(self.recipe, self.scored.splits["test"])

    @cached_property
    def points(self) -> dict[str, OperatingPoints]:
        """What moving a threshold further would change."""
        return self.valid.operating_points

    @cached_property
    def proofs(self) -> dict[Variant, Proof]:
        """Of each variant of the base that was offered, at the new thresholds.

        Raises:
            WrongThresholds: of the variant in full precision, too many verdicts change.
        """
        before = _document(self.base)["compiled"]
        found = {}
        for variant in Variant:
            if (told := before.get(f"openvino_{variant}")) is None:
                continue
            if variant not in self.scored.variants:
                raise BundleError(f"{SCORES} of model {self.base.version} lacks its {variant} variant")
            scores = as_array(self.scored.variants[variant])
            found[variant] = Proof.model_validate(
                {**told, **compare(self.recipe, self.valid.scores, scores).model_dump()}
            )
        if not found[Variant.FP32].holds:
            raise WrongThresholds(
                f"at these thresholds the compiled network is not usable for inference: {found[Variant.FP32].objection}"
            )
        return found

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The worst, with the images that the base kept of the same."""
        known = {each["name"]: each.get("image") for each in _document(self.base).get("mistakes", [])}
        return tuple(
            mistake.model_copy(update={"image": known.get(mistake.name)})
            for mistake in self.test.worst_mistakes(MISTAKES)
        )

    @cached_property
    def _shots(self) -> dict[str, bytes]:
        names = (mistake.image for mistake in self.mistakes)
        return {name: self.base.files[name] for name in names if name and name in self.base.files}

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `evaluation.json` says: all of the base's that thresholds do not touch, and the rest anew."""
        left_out = {
            f"openvino_{variant}": LeftOut(reason=proof.objection, proof=proof).model_dump(mode="json")
            for variant, proof in self.proofs.items()
            if not proof.holds
        }
        offered = {
            f"openvino_{variant}": proof.model_dump(mode="json")
            for variant, proof in self.proofs.items()
            if proof.holds
        }
        before = _document(self.base)
        return {
            **before,
            **self.test.evaluation.model_dump(mode="json"),
            "valid": self.valid.evaluation.model_dump(mode="json"),
            "compiled": offered,
            "not_offered": {**before.get("not_offered", {}), **left_out},
            "operating_points": {name: points.model_dump(mode="json") for name, points in self.points.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in self.mistakes],
        }

    def _report(self) -> str:
        asked, origin = self.asked, self.base.manifest
        facts = {
            **facts_of(origin.architecture, origin.dataset, origin.created_at, origin.options),
            "thresholds by": f"{asked.by}, {asked.at:%Y-%m-%d %H:%M} UTC",
            "the network of": self.base.version,
            **({"because": asked.reason} if asked.reason else {}),
        }
        content = ReportContent(
            version=self.version,
            facts=facts,
            measured_on="the test part, never trained on",
            run=self.test,
            chosen_on="the validation part",
            points=self.points,
            mistakes=self.mistakes,
            images=self._shots,
            history=from_json(self.base.file(HISTORY)) if HISTORY in self.base.files else (),
            document=self.document,
        )
        return render(content)


def run_of(recipe: Recipe, split: ScoredSplit) -> EvaluationRun:
    """Return the evaluation of scored images."""
    return EvaluationRun(recipe, split.names, split.groups, as_array(split.truth), as_array(split.scores))


def _document(bundle: Bundle) -> dict[str, Any]:
    """What the base says of itself.

    Raises:
        WrongThresholds: not whether its compiled variant judges alike.
    """
    try:
        found: dict[str, Any] = from_json(bundle.file(EVALUATION))
        Proof.model_validate(found["compiled"]["openvino_fp32"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise WrongThresholds(
            f"model {bundle.version} does not say whether its compiled variant judges alike: train anew"
        ) from error
    return found
