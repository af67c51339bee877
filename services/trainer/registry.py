"""Which model is in production: moves the pointer, or says why not.

Every decision is kept as ``promotions/<id>.json``, so a request that comes twice gets the same answer twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from services.trainer.equality import Equality
from shared.heatmaps.explainable import refuse_unexplainable
from shared.messages import ModelPromoted, PromotionRefused, PromotionRequested, decode
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.vision.bundle import (
    EVALUATION,
    KERAS,
    Bundle,
    BundleError,
    ProductionPointer,
    move_production,
    production_history,
    read_bundle,
    read_bundle_folder,
    write_bundle,
)

Decision = ModelPromoted | PromotionRefused

FOLDER: Final = "promotions"

_log = structlog.stdlib.get_logger("registry")


class Refusal(Exception):
    """Why a model is not promoted."""


class _Compiled(BaseModel):
    """The part of an evaluation that a promotion asks for."""

    compiled: dict[str, Equality]


class Registry:
    """The models in object storage. One thread alone moves the pointer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def promote(self, asked: PromotionRequested) -> Decision:
        """Make a model the one in production, if nothing speaks against it."""
        if decided := self.decision(asked.promotion_id):
            return decided
        try:
            self._check(asked)
            decision: Decision = self._move(asked)
        except Refusal as refusal:
            decision = PromotionRefused(
                promotion_id=asked.promotion_id,
                recipe=asked.recipe,
                model_version=asked.model_version,
                reason=str(refusal),
                refused_at=datetime.now(UTC),
            )
        self._store.put(_key(asked.promotion_id), decision.encode(), "application/json")
        _log.info(type(decision).__name__, **decision.model_dump(mode="json"))
        return decision

    def decision(self, promotion_id: str) -> Decision | None:
        """What was decided; None while nothing was."""
        try:
            found = decode(self._store.get(_key(promotion_id)))
        except ObjectNotFound:
            return None
        return found if isinstance(found, ModelPromoted | PromotionRefused) else None

    def start_with(self, folder: Path) -> ModelPromoted | None:
        """Promote the bundle of a folder, where its recipe has no model yet; None where it has one.

        Raises:
            BundleError: the folder holds no bundle, or one that must not be used.
        """
        bundle = read_bundle_folder(folder)
        recipe, version = bundle.manifest.recipe, bundle.version
        if production_history(self._store, recipe):
            return None
        write_bundle(self._store, bundle.manifest, bundle.files)
        asked = PromotionRequested(
            promotion_id=f"initial-{version}"[:64],
            recipe=recipe,
            model_version=version,
            reason="the first model of this recipe",
            requested_by="trainer",
            requested_at=datetime.now(UTC),
        )
        try:
            self._check(asked)
        except Refusal as refusal:
            raise BundleError(f"{folder}: {refusal}") from None
        return self._move(asked)

    def _check(self, asked: PromotionRequested) -> None:
        if asked.force and not asked.reason.strip():
            raise Refusal("to force a promotion, give the reason")
        try:
            bundle = read_bundle(self._store, asked.recipe, asked.model_version)
            _refuse_unproven(bundle)
            if KERAS in bundle.files:  # a bundle without it judges, and says why it explains nothing
                refuse_unexplainable(bundle)
        except ObjectNotFound:
            raise Refusal(f"recipe {asked.recipe!r} has no model {asked.model_version}") from None
        except BundleError as error:
            raise Refusal(str(error)) from None

    def _move(self, asked: PromotionRequested) -> ModelPromoted:
        """Move the pointer; where it points there already, a move before was not confirmed to whoever asked."""
        history = production_history(self._store, asked.recipe)
        last = history[-1] if history else None
        if last is None or last.version != asked.model_version:
            last = ProductionPointer(
                sequence=len(history) + 1,
                recipe=asked.recipe,
                version=asked.model_version,
                previous=last.version if last else None,
                reason=asked.reason,
                by=asked.requested_by,
                at=datetime.now(UTC),
            )
            move_production(self._store, last)
        return ModelPromoted(
            promotion_id=asked.promotion_id,
            recipe=asked.recipe,
            model_version=last.version,
            previous_version=last.previous,
            reason=last.reason,
            promoted_by=last.by,
            promoted_at=last.at,
        )


def _refuse_unproven(bundle: Bundle) -> None:
    """Only a compiled form that was measured against the trained network, and held, goes to the line."""
    try:
        forms = _Compiled.model_validate_json(bundle.file(EVALUATION)).compiled
    except ValidationError:
        raise Refusal(
            f"model {bundle.version} does not say whether its compiled form judges alike: train anew"
        ) from None
    for name, equality in forms.items():
        if not equality.holds:
            raise Refusal(f"{name} changes {equality.changed_verdicts} of {equality.pictures} verdicts of its network")


def _key(promotion_id: str) -> str:
    return f"{FOLDER}/{promotion_id}.json"
