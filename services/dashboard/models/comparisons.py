"""Comparisons of two versions: requested by message, measured by the trainer, read from object storage."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic_core import from_json

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.models.schemas import ComparisonRequest, ComparisonView
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.language import gettext
from shared.messages import ComparisonRequested
from shared.storage.port import ObjectNotFound, ObjectStore


class ComparisonsService:
    """Requests of comparisons, and their results."""

    def __init__(self, store: ObjectStore, commands: CommandPublisher) -> None:
        self._store = store
        self._commands = commands

    def request(self, recipe: str, request: ComparisonRequest, by: str) -> datetime:
        """Request a comparison of two versions; return the time of the request.

        Raises:
            Problem: 404: one of them does not exist.
            MessagingError: the request was not published.
        """
        versions = bundle.versions(self._store, recipe)
        for version in (request.baseline, request.candidate):
            if version not in versions:
                raise Problem(
                    404,
                    gettext(
                        "there is no version %(version)r of recipe %(recipe)r: GET /api/models lists them",
                        version=version,
                        recipe=recipe,
                    ),
                )
        message = ComparisonRequested(recipe=recipe, by=by, at=datetime.now(UTC), **request.model_dump())
        self._commands.publish(message, applied=False)
        return message.at

    def get(self, recipe: str, baseline: str, candidate: str, since: datetime | None = None) -> ComparisonView:
        """Return the result of a comparison; a refusal of a request before ``since`` does not count.

        Raises:
            Problem: 404: there is no result yet, or no request.
        """
        try:
            found = from_json(self._store.get(bundle.comparison_key(recipe, baseline, candidate)))
        except (ObjectNotFound, ValueError):
            raise Problem(
                404, gettext("there is no result yet: POST to the recipe's comparisons to request it")
            ) from None
        reason = str(found.get("reason", ""))
        if reason and since and found.get("at", "") < since.isoformat():
            raise Problem(404, gettext("there is no result yet: the trainer measures"))
        return ComparisonView(
            recipe=recipe, baseline=baseline, candidate=candidate, reason=reason, comparison=None if reason else found
        )
