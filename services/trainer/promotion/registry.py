"""Which model is in production: moves the pointer, or says why not.

A model must be no worse than the one that it follows, unless somebody forces it and says why. Every decision is kept,
so a request that comes twice gets the same answer twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from services.trainer.errors import TrainerError
from services.trainer.promotion.gate import Compare, objections, summary, verdict
from services.trainer.variants.equality import Equality
from shared.contracts.bundle import (
    EVALUATION,
    VARIANT_FILES,
    Bundle,
    BundleError,
    ProductionPointer,
    digest_of,
    move_production,
    production_history,
    read_bundle,
    read_bundle_folder,
    version_before,
    write_bundle,
)
from shared.contracts.promotion import Decision, find_decision, keep_decision
from shared.explain.explainable import refuse_unexplainable
from shared.messages import ModelPromoted, PromotionRefused, PromotionRequested
from shared.storage.port import ObjectNotFound, ObjectStore

NOTHING_BEFORE: Final = "nothing was in production to compare it with"
IN_PRODUCTION: Final = "in production already"
NOT_MEASURED: Final = "a rollback is not measured: it was in production before"

_log = structlog.stdlib.get_logger("registry")


class Refusal(Exception):
    """Why a model is not promoted."""


class _Compiled(BaseModel):
    """The part of an evaluation that a promotion asks for."""

    compiled: dict[str, Equality]


class Registry:
    """The models in object storage. One thread alone moves the pointer."""

    def __init__(self, store: ObjectStore, compare: Compare) -> None:
        """Make a registry.

        Args:
            store: object storage.
            compare: measures a candidate beside the model in production.
        """
        self._store = store
        self._compare = compare

    def promote(self, asked: PromotionRequested) -> Decision:
        """Make a model the one in production, if nothing speaks against it.

        Raises:
            NotMeasured: it has to be measured beside the one in production first.
        """
        if decided := find_decision(self._store, asked.recipe, asked.promotion_id):
            return decided
        history = production_history(self._store, asked.recipe)
        try:
            self._check(asked)
            decision: Decision = self._move(asked, history, *self._pass(asked, history))
        except Refusal as refusal:
            decision = PromotionRefused(
                promotion_id=asked.promotion_id,
                recipe=asked.recipe,
                model_version=asked.model_version,
                reason=str(refusal),
                at=datetime.now(UTC),
                by=asked.by,
                production_version=_current(history),
            )
        keep_decision(self._store, decision)
        _log.info(type(decision).__name__, **decision.model_dump(mode="json"))
        return decision

    def start_with(self, folder: Path) -> ModelPromoted | None:
        """Promote the bundle of a folder, where its recipe has no model yet; None where it has one.

        Whoever tells of it says so by `was_told`: a move that was not told, because the broker was away, is told at the
        next start.

        Raises:
            BundleError: the folder holds no bundle, or one that must not be used, or that can't be explained.
        """
        bundle = read_bundle_folder(folder)
        asked = _first(bundle)
        if history := production_history(self._store, asked.recipe):
            return _told(asked, history[0]) if self._is_untold(asked, history) else None
        refuse_unexplainable(bundle)
        write_bundle(self._store, bundle.manifest, bundle.files)
        try:
            self._check(asked)
        except Refusal as refusal:
            raise BundleError(f"{folder}: {refusal}") from None
        return self._move(asked, [], NOTHING_BEFORE, forced=False)

    def was_told(self, promoted: ModelPromoted) -> None:
        """The broker has what `start_with` said."""
        keep_decision(self._store, promoted)

    def _is_untold(self, asked: PromotionRequested, history: Sequence[ProductionPointer]) -> bool:
        """Whether the first model is still the only one, and nobody was told."""
        mine = [(move.version, move.by) for move in history] == [(asked.model_version, asked.by)]
        return mine and find_decision(self._store, asked.recipe, asked.promotion_id) is None

    def _check(self, asked: PromotionRequested) -> None:
        """What no force overrules: the model must be there, whole, and proven."""
        if asked.force and not asked.reason.strip():
            raise Refusal("to force a promotion, give the reason")
        try:
            bundle = read_bundle(self._store, asked.recipe, asked.model_version)
            _refuse_unproven(bundle)
            if not asked.rollback:  # back to what judged before must always be possible, explained or not
                refuse_unexplainable(bundle)
        except ObjectNotFound:
            raise Refusal(f"recipe {asked.recipe!r} has no model {asked.model_version}") from None
        except BundleError as error:
            raise Refusal(str(error)) from None

    def _pass(self, asked: PromotionRequested, history: Sequence[ProductionPointer]) -> tuple[str, bool]:
        """What the gate says of a request that passes, and whether it was forced."""
        production = _current(history)
        if production == asked.model_version:
            return IN_PRODUCTION, False
        if asked.rollback:
            _refuse_other_than(version_before(history), asked, production)
            return NOT_MEASURED, False
        if production is None:
            return NOTHING_BEFORE, False
        if (overtaken := _overtaken(asked, history[-1])) and not asked.force:
            raise Refusal(f"{overtaken}: ask again, or force it with a reason")
        against, said = self._measure(asked, production)
        if against and not asked.force:
            raise Refusal(f"{against}; to promote it all the same, force it with a reason")
        return against or said, bool(against)

    def _measure(self, asked: PromotionRequested, production: str) -> tuple[str, str]:
        """What speaks against a model, or nothing; and what was compared."""
        try:
            comparison = self._compare(asked, production)
        except TrainerError as error:
            return f"not comparable with {production} in production: {error}", ""
        measured = summary(comparison)
        if against := objections(comparison):
            return f"{verdict(comparison)} {production} in production, on {measured}: {'; '.join(against)}", ""
        return "", f"{verdict(comparison)} {production} on {measured}"

    def _move(
        self, asked: PromotionRequested, history: Sequence[ProductionPointer], gate: str, forced: bool
    ) -> ModelPromoted:
        """Move the pointer; where it points there already, a move before was not confirmed to whoever asked."""
        last = history[-1] if history else None
        if last is None or last.version != asked.model_version:
            last = ProductionPointer(
                sequence=len(history) + 1,
                recipe=asked.recipe,
                version=asked.model_version,
                digest=digest_of(self._store, asked.recipe, asked.model_version),
                previous=_current(history),
                reason=asked.reason,
                by=asked.by,
                at=datetime.now(UTC),
                forced=forced,
                rollback=asked.rollback,
                gate=gate,
            )
            move_production(self._store, last)
        return _told(asked, last)


def _first(bundle: Bundle) -> PromotionRequested:
    return PromotionRequested(
        promotion_id=f"initial-{bundle.version}"[:64],
        recipe=bundle.manifest.recipe,
        model_version=bundle.version,
        reason="the first model of this recipe",
        by="trainer",
        at=datetime.now(UTC),
    )


def _told(asked: PromotionRequested, move: ProductionPointer) -> ModelPromoted:
    return ModelPromoted(
        promotion_id=asked.promotion_id,
        recipe=move.recipe,
        model_version=move.version,
        digest=move.digest,
        previous_version=move.previous,
        reason=move.reason,
        by=move.by,
        at=move.at,
        forced=move.forced,
        rollback=move.rollback,
        gate=move.gate,
    )


def _current(history: Sequence[ProductionPointer]) -> str | None:
    return history[-1].version if history else None


def _overtaken(asked: PromotionRequested, last: ProductionPointer) -> str:
    """Why a promotion that waited for its measurement is wanted no more; nothing where it may go on.

    Who rolls back decides what judges from now on, and not until something older was measured.
    """
    if not last.rollback or asked.at > last.at:
        return ""
    return f"{last.by} rolled back to {last.version} at {last.at:%Y-%m-%d %H:%M:%S} UTC, after this was asked for"


def _refuse_other_than(before: str | None, asked: PromotionRequested, production: str | None) -> None:
    """A rollback that was asked for while production was another model means something else by now."""
    if before is None:
        raise Refusal(f"no other model of recipe {asked.recipe!r} was in production before")
    if before != asked.model_version:
        raise Refusal(f"before {production}, {before} was in production, and not {asked.model_version}")


def _refuse_unproven(bundle: Bundle) -> None:
    """Only a compiled variant that was measured against the trained network, and held, goes to the line."""
    try:
        variants = _Compiled.model_validate_json(bundle.file(EVALUATION)).compiled
    except ValidationError:
        raise Refusal(
            f"model {bundle.version} does not say whether its compiled variant judges alike: train anew"
        ) from None
    for variant in (variant for variant, files in VARIANT_FILES.items() if not bundle.files.keys().isdisjoint(files)):
        if f"openvino_{variant}" not in variants:
            raise Refusal(f"model {bundle.version} does not say whether its {variant} variant judges alike: train anew")
    for name, equality in variants.items():
        if not equality.holds:
            raise Refusal(f"{name} changes {equality.changed_verdicts} of {equality.images} verdicts of its network")
