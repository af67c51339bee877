"""Two versions side by side: asked for by message, measured by the trainer, read from object storage."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic_core import from_json

from services.dashboard.ingest.commands import Commands
from services.dashboard.models.schemas import ComparisonOrder, ComparisonView
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.messages import ComparisonRequested
from shared.storage.port import ObjectNotFound, ObjectStore


class ComparisonsService:
    """What people may know of two models."""

    def __init__(self, store: ObjectStore, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    def order(self, recipe: str, order: ComparisonOrder, by: str) -> datetime:
        """Ask the trainer to compare two versions; returns when.

        Raises:
            Problem: 404: one of them is not there.
            MessagingError: nobody was asked.
        """
        known = bundle.versions(self._store, recipe)
        for version in (order.baseline, order.candidate):
            if version not in known:
                raise Problem(404, f"there is no version {version!r} of recipe {recipe!r}: GET /api/models lists them")
        asked = ComparisonRequested(recipe=recipe, by=by, at=datetime.now(UTC), **order.model_dump())
        self._commands.give(asked, noted=False)
        return asked.at

    def get(self, recipe: str, baseline: str, candidate: str, since: datetime | None = None) -> ComparisonView:
        """What came out; a refusal of a request before ``since`` is none, for whoever asked again.

        Raises:
            Problem: 404: nothing yet, or nobody asked.
        """
        try:
            found = from_json(self._store.get(bundle.comparison_key(recipe, baseline, candidate)))
        except (ObjectNotFound, ValueError):
            raise Problem(404, "not compared, or not yet: POST to the recipe's comparisons asks for it") from None
        reason = str(found.get("reason", ""))
        if reason and since and found.get("at", "") < since.isoformat():
            raise Problem(404, "not compared yet: the trainer measures")
        return ComparisonView(
            recipe=recipe, baseline=baseline, candidate=candidate, reason=reason, comparison=None if reason else found
        )
