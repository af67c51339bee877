"""Make a model version with other thresholds: the same network, evaluated again from its stored scores.

ADR 12 says why a threshold set is a model version like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from services.trainer.errors import TrainerError
from services.trainer.evaluation.evaluation_run import EvaluationRun, MeasuredOn
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.report.page import ReportContent, facts_of, report_files
from services.trainer.evaluation.threshold_choice import point_of
from services.trainer.jobs.announcement import thresholds_stored_message
from services.trainer.variants.proof import LeftOut, Proof, compare
from shared.contracts.bundle import (
    EVALUATION,
    HISTORY,
    MANIFEST,
    RECIPE,
    REPORTS,
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
from shared.contracts.operating_points import OperatingPoint, OperatingPoints
from shared.contracts.scores import ScoredImages, ScoredSplit, as_array, read_scores
from shared.language import ENGLISH, gettext, written_time
from shared.messages import ThresholdsRequested, ThresholdsStored
from shared.recipe import Recipe, Task
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.verdict import has_verdicts

MISTAKES: Final = 12
MISTAKE_IMAGE: Final = "mistake_"
"""The beginning of the names of a bundle's files that show mistakes."""


class WrongThresholds(TrainerError):
    """Thresholds can't be set; the message says why."""


def set_thresholds(request: ThresholdsRequested, store: ObjectStore) -> ThresholdsStored:
    """Make the requested version and store it, unless it is stored already.

    Raises:
        TrainerError: there is no such model or label, or the variants judge too differently at these thresholds.
        BundleError: the model must not be used.
        StorageError: object storage failed.
    """
    version = version_name(request.at, request.thresholds_id)
    if store.exists(f"{folder_of(request.recipe, version)}/{MANIFEST}"):
        bundle = read_bundle(store, request.recipe, version)
    else:
        try:
            base = read_bundle(store, request.recipe, request.model_version)
        except ObjectNotFound:
            raise WrongThresholds(f"recipe {request.recipe!r} has no model {request.model_version}") from None
        recipe = with_thresholds(base.recipe, request.thresholds)
        scored = read_scores(base)
        if scored.labels != recipe.label_names:
            raise BundleError(f"{SCORES} of model {base.version} is of other labels: do not use it")
        bundle = ThresholdSet(base, recipe, scored, request, version).bundle()
        write_bundle(store, bundle.manifest, bundle.files)
    thresholds = {label.name: label.threshold for label in bundle.recipe.labels}
    return thresholds_stored_message(request, bundle.manifest, thresholds)


def with_thresholds(recipe: Recipe, thresholds: Mapping[str, float]) -> Recipe:
    """Return a recipe with other thresholds for some labels.

    Raises:
        WrongThresholds: the recipe has no thresholds, or no such label, or the thresholds are the same.
    """
    if recipe.task is Task.EXCLUSIVE and not has_verdicts(recipe):
        raise WrongThresholds(
            f"recipe {recipe.name!r} makes no part NG: of its labels the one with the highest score wins"
        )
    for name in thresholds:
        if name not in recipe.label_names:
            raise WrongThresholds(
                f"recipe {recipe.name!r} has no label {name!r}: there is {', '.join(recipe.label_names)}"
            )
    moved = recipe.with_thresholds(thresholds)
    if moved == recipe:
        raise WrongThresholds("these are the thresholds that the model has: move one")
    return moved


@dataclass(frozen=True)
class ThresholdSet:
    """A model with other thresholds, and its evaluation."""

    base: Bundle
    recipe: Recipe
    """The recipe with the new thresholds."""
    scored: ScoredImages
    request: ThresholdsRequested
    version: str

    def bundle(self) -> Bundle:
        """Make the bundle of the new version: every file that depends on thresholds is made again.

        Raises:
            WrongThresholds: the fp32 variant changes too many verdicts of the network at these thresholds.
        """
        unusable = {
            file for variant, proof in self.proofs.items() if not proof.holds for file in VARIANT_FILES[variant]
        }
        files = {
            name: content
            for name, content in self.base.files.items()
            if name not in unusable and name not in REPORTS.values() and not name.startswith(MISTAKE_IMAGE)
        }
        files |= self.mistake_images
        files[RECIPE] = self.recipe.to_yaml().encode()
        files[EVALUATION] = json.dumps(self.document, separators=(",", ":")).encode()
        files[SCORES] = self.scored.model_dump_json().encode()
        if REPORTS[ENGLISH] in self.base.files:
            files |= report_files(self.report_content)
        changes = {
            "version": self.version,
            "created_at": self.request.at,
            "derived_from": self.base.version,
            "author": self.request.by,
            "reason": self.request.reason,
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        }
        return Bundle(self.base.manifest.model_copy(update=changes), files)

    @cached_property
    def valid(self) -> EvaluationRun:
        return run_of(self.recipe, self.scored.splits["valid"], self.points.of_model if self.points else None)

    @cached_property
    def test(self) -> EvaluationRun:
        return run_of(self.recipe, self.scored.splits["test"])

    @property
    def measured_on(self) -> MeasuredOn:
        return MeasuredOn(self.base_evaluation.get("split", MeasuredOn.TEST))

    @property
    def measured(self) -> EvaluationRun:
        return self.test if self.measured_on is MeasuredOn.TEST else self.valid

    @cached_property
    def points(self) -> OperatingPoints | None:
        """The operating points of the base, and which of them has the new thresholds."""
        found = self.base_evaluation.get("operating_points")
        if not found:
            return None
        points = OperatingPoints.model_validate(found)
        return points.model_copy(update={"chosen": point_of(self.recipe, points)})

    @cached_property
    def base_evaluation(self) -> dict[str, Any]:
        """The evaluation of the base.

        Raises:
            WrongThresholds: it has no proof of the fp32 variant.
        """
        try:
            found: dict[str, Any] = from_json(self.base.file(EVALUATION))
            Proof.model_validate(found["compiled"]["openvino_fp32"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise WrongThresholds(
                f"model {self.base.version} does not say whether its compiled variant judges alike: train it again"
            ) from error
        return found

    @cached_property
    def proofs(self) -> dict[Variant, Proof]:
        """The proof of each variant of the base at the new thresholds.

        Raises:
            WrongThresholds: the fp32 variant changes too many verdicts.
        """
        found = {}
        for variant in Variant:
            if (before := self.base_evaluation["compiled"].get(f"openvino_{variant}")) is None:
                continue
            if variant not in self.scored.variants:
                raise BundleError(f"{SCORES} of model {self.base.version} lacks its {variant} variant")
            equality = compare(self.recipe, as_array(self.scored.proved), as_array(self.scored.variants[variant]))
            found[variant] = Proof.model_validate({**before, **equality.model_dump()})
        if not found[Variant.FP32].holds:
            raise WrongThresholds(
                f"at these thresholds the compiled network is not usable for inference: {found[Variant.FP32].objection}"
            )
        return found

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The costliest mistakes, with their images where the base has them."""
        images = {each["name"]: each.get("image") for each in self.base_evaluation.get("mistakes", [])}
        return tuple(
            mistake.model_copy(update={"image": images.get(mistake.name)})
            for mistake in self.measured.worst_mistakes(MISTAKES)
        )

    @cached_property
    def mistake_images(self) -> dict[str, bytes]:
        names = (mistake.image for mistake in self.mistakes)
        return {name: self.base.files[name] for name in names if name and name in self.base.files}

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content of `evaluation.json`: that of the base, with everything that depends on thresholds made again."""
        compiled, left_out = {}, {}
        for variant, proof in self.proofs.items():
            if proof.holds:
                compiled[f"openvino_{variant}"] = proof.model_dump(mode="json")
            else:
                excluded = LeftOut(reason=proof.objection, proof=proof)
                left_out[f"openvino_{variant}"] = excluded.model_dump(mode="json")
        curves = self.valid.threshold_curves
        return {
            **self.base_evaluation,
            **self.measured.evaluation.model_dump(mode="json"),
            "operating_points": self.points.model_dump(mode="json") if self.points else None,
            "valid": self.valid.evaluation.model_dump(mode="json"),
            "compiled": compiled,
            "not_offered": {**self.base_evaluation.get("not_offered", {}), **left_out},
            "threshold_curves": {name: each.model_dump(mode="json") for name, each in curves.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in self.mistakes],
        }

    def report_content(self) -> ReportContent:
        """Return what the report shows, in the present language."""
        request, origin = self.request, self.base.manifest
        facts = {
            **facts_of(origin.architecture, origin.dataset, origin.created_at, origin.options),
            gettext("Thresholds by"): f"{request.by}, {written_time(request.at.astimezone(UTC), 'minute')} UTC",
            gettext("Network of"): self.base.version,
            **({gettext("Reason"): request.reason} if request.reason else {}),
        }
        return ReportContent(
            version=self.version,
            facts=facts,
            measured_on=self.measured_on.in_words,
            run=self.measured,
            chosen_on=gettext("the validation split")
            if self.scored.network is None
            else MeasuredOn.OUT_OF_FOLD.in_words,
            curves=self.valid.threshold_curves,
            mistakes=self.mistakes,
            images=self.mistake_images,
            history=from_json(self.base.file(HISTORY)) if HISTORY in self.base.files else (),
            document=self.document,
        )


def run_of(recipe: Recipe, split: ScoredSplit, point: OperatingPoint | None = None) -> EvaluationRun:
    """Return the evaluation of scored images."""
    return EvaluationRun(recipe, split.names, split.groups, as_array(split.truth), as_array(split.scores), point)
