"""Decide about promotions: move the pointer to the model in production, or refuse with a reason.

A model must be no worse than the model in production, unless a person forces the promotion and gives a reason. Each
decision is stored, so a request that is delivered twice gets the same decision twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from services.trainer.promotion.comparison import find_comparison
from services.trainer.promotion.gate import comparison_result, describe_images, objections
from services.trainer.variants.proof import Equality
from shared.contracts.bundle import (
    EVALUATION,
    VARIANT_FILES,
    Bundle,
    BundleError,
    digest_of,
    read_bundle,
    read_bundle_folder,
    write_bundle,
)
from shared.contracts.promotion import (
    Decision,
    Promotion,
    find_decision,
    production_history,
    store_decision,
    store_promotion,
    version_before,
)
from shared.explain.explainable import refuse_unexplainable
from shared.messages import ModelPromoted, PromotionRefused, PromotionRequested
from shared.storage.port import ObjectNotFound, ObjectStore

NOTHING_BEFORE: Final = "nothing was in production to compare it with"
IN_PRODUCTION: Final = "in production already"
NOT_MEASURED: Final = "a rollback is not measured: it was in production before"

_log = structlog.stdlib.get_logger("promotions")


@dataclass(frozen=True)
class ComparisonNeeded:
    """The promotion can't be decided until its model is compared with the model in production."""

    baseline: str
    """The version in production."""


@dataclass(frozen=True)
class _Approval:
    """The decision that a model may be promoted."""

    gate: str
    """The result of the comparison with the model in production."""
    forced: bool = False


class _Refusal(Exception):
    """The decision that a model is not promoted; the message says why."""


class _CompiledVariants(BaseModel):
    """The part of an evaluation that a promotion checks."""

    compiled: dict[str, Equality]


class Promotions:
    """The promotions of the models in object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def decide(
        self, request: PromotionRequested, not_comparable: Mapping[str, str] | None = None
    ) -> Decision | ComparisonNeeded:
        """Promote a model, or refuse the promotion, and store the decision. A stored decision is not changed.

        Args:
            request: the request.
            not_comparable: why the model can't be compared with the one in production, by the version in production.

        Raises:
            StorageUnavailable: object storage is unavailable, or another decision moved the pointer at the same time.
                Decide again.
        """
        if decided := find_decision(self._store, request.recipe, request.promotion_id):
            return decided
        history = production_history(self._store, request.recipe)
        try:
            self._check_model(request)
            approval = self._pass_gate(request, history, not_comparable or {})
            if isinstance(approval, ComparisonNeeded):
                return approval
            decision: Decision = self._move_pointer(request, history, approval)
        except _Refusal as refusal:
            decision = PromotionRefused(
                promotion_id=request.promotion_id,
                recipe=request.recipe,
                model_version=request.model_version,
                reason=str(refusal),
                at=datetime.now(UTC),
                by=request.by,
                production_version=_current_version(history),
            )
        store_decision(self._store, decision)
        _log.info(type(decision).__name__, **decision.model_dump(mode="json"))
        return decision

    def promote_initial_model(self, folder: Path) -> ModelPromoted | None:
        """Promote the bundle of a folder if its recipe has no model yet; else return None.

        The caller publishes the returned message and then calls `record_published`. If it can't, this method returns
        the same message at the next start.

        Raises:
            BundleError: the folder has no bundle, or its model must not be used or can't be explained.
        """
        bundle = read_bundle_folder(folder)
        request = PromotionRequested(
            promotion_id=f"initial-{bundle.version}"[:64],
            recipe=bundle.manifest.recipe,
            model_version=bundle.version,
            reason="the first model of this recipe",
            by="trainer",
            at=datetime.now(UTC),
        )
        if history := production_history(self._store, request.recipe):
            is_ours = [(promotion.version, promotion.by) for promotion in history] == [(bundle.version, request.by)]
            is_published = find_decision(self._store, request.recipe, request.promotion_id) is not None
            return _promoted_message(request, history[0]) if is_ours and not is_published else None
        refuse_unexplainable(bundle)
        write_bundle(self._store, bundle.manifest, bundle.files)
        try:
            self._check_model(request)
        except _Refusal as refusal:
            raise BundleError(f"{folder} can't be used: {refusal}") from None
        return self._move_pointer(request, [], _Approval(NOTHING_BEFORE))

    def record_published(self, promoted: ModelPromoted) -> None:
        """Record that the broker has the message of `promote_initial_model`."""
        store_decision(self._store, promoted)

    def _check_model(self, request: PromotionRequested) -> None:
        """Refuse a model that is missing, changed or not proven, also if the promotion is forced."""
        if request.force and not request.reason.strip():
            raise _Refusal("to force a promotion, give the reason")
        try:
            bundle = read_bundle(self._store, request.recipe, request.model_version)
            _refuse_unproven(bundle)
            if not request.rollback:  # a rollback must always be possible, explainable or not
                refuse_unexplainable(bundle)
        except ObjectNotFound:
            raise _Refusal(f"recipe {request.recipe!r} has no model {request.model_version}") from None
        except BundleError as error:
            raise _Refusal(str(error)) from None

    def _pass_gate(
        self,
        request: PromotionRequested,
        history: Sequence[Promotion],
        not_comparable: Mapping[str, str],
    ) -> _Approval | ComparisonNeeded:
        """Approve a model by the stored comparison with the model in production, if a comparison is needed.

        Raises:
            _Refusal: the model may not be promoted.
        """
        production = _current_version(history)
        if production == request.model_version:
            return _Approval(IN_PRODUCTION)
        if request.rollback:
            # the version before may differ from the one at the time of the request
            before = version_before(history)
            if before is None:
                raise _Refusal(f"no other model of recipe {request.recipe!r} was in production before")
            if before != request.model_version:
                raise _Refusal(f"before {production}, {before} was in production, and not {request.model_version}")
            return _Approval(NOT_MEASURED)
        if production is None:
            return _Approval(NOTHING_BEFORE)
        if (rollback := _later_rollback(request, history[-1])) and not request.force:
            raise _Refusal(f"{rollback}: ask again, or force it with a reason")
        if comparison := find_comparison(self._store, request.recipe, production, request.model_version):
            result, images = comparison_result(comparison), describe_images(comparison)
            reasons = objections(comparison)
            if not reasons:
                return _Approval(f"{result} {production} on {images}")
            objection = f"{result} {production} in production, on {images}: {'; '.join(reasons)}"
        elif production in not_comparable:
            objection = f"not comparable with {production} in production: {not_comparable[production]}"
        else:
            return ComparisonNeeded(production)
        if not request.force:
            raise _Refusal(f"{objection}; to promote it all the same, force it with a reason")
        return _Approval(objection, forced=True)

    def _move_pointer(
        self, request: PromotionRequested, history: Sequence[Promotion], approval: _Approval
    ) -> ModelPromoted:
        """Move the pointer, unless an earlier delivery of the same request has moved it."""
        last = history[-1] if history else None
        if last is None or last.version != request.model_version:
            last = Promotion(
                sequence=len(history) + 1,
                recipe=request.recipe,
                version=request.model_version,
                digest=digest_of(self._store, request.recipe, request.model_version),
                previous=_current_version(history),
                reason=request.reason,
                by=request.by,
                at=datetime.now(UTC),
                forced=approval.forced,
                rollback=request.rollback,
                gate=approval.gate,
            )
            store_promotion(self._store, last)
        return _promoted_message(request, last)


def _promoted_message(request: PromotionRequested, promotion: Promotion) -> ModelPromoted:
    return ModelPromoted(
        promotion_id=request.promotion_id,
        recipe=promotion.recipe,
        model_version=promotion.version,
        digest=promotion.digest,
        previous_version=promotion.previous,
        reason=promotion.reason,
        by=promotion.by,
        at=promotion.at,
        forced=promotion.forced,
        rollback=promotion.rollback,
        gate=promotion.gate,
    )


def _current_version(history: Sequence[Promotion]) -> str | None:
    return history[-1].version if history else None


def _later_rollback(request: PromotionRequested, last: Promotion) -> str:
    """Return who rolled back after the promotion was requested, and when; empty if there was no such rollback."""
    if not last.rollback or request.at > last.at:
        return ""
    return f"{last.by} rolled back to {last.version} at {last.at:%Y-%m-%d %H:%M:%S} UTC, after this was requested"


def _refuse_unproven(bundle: Bundle) -> None:
    """Refuse a bundle with a compiled variant that has no proof, or whose proof failed."""
    try:
        compiled = _CompiledVariants.model_validate_json(bundle.file(EVALUATION)).compiled
    except ValidationError:
        raise _Refusal(
            f"model {bundle.version} does not say whether its compiled variant judges alike: train it again"
        ) from None
    for variant in (variant for variant, files in VARIANT_FILES.items() if not bundle.files.keys().isdisjoint(files)):
        if f"openvino_{variant}" not in compiled:
            raise _Refusal(
                f"model {bundle.version} does not say whether its {variant} variant judges alike: train it again"
            )
    for name, equality in compiled.items():
        if not equality.holds:
            raise _Refusal(f"{name} changes {equality.changed_verdicts} of {equality.images} verdicts of its network")
