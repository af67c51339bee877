"""What the gateway announced last about the recipe of each line, in Redis; changes also become audit entries."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

import structlog
from redis import Redis
from ulid import ULID

from services.dashboard.access.audit import Audit
from services.dashboard.ingest.projector import Updaters
from services.dashboard.lines.repository import ReceivedMessage
from services.dashboard.store.keys import Keys
from shared.messages import RecipeAnnounced
from shared.storage.port import StorageError

_log = structlog.stdlib.get_logger("recipes")


class LineRecipeRepository:
    """The last announcement about each line."""

    def __init__(self, redis: Redis, keys: Keys, audit: Audit | None = None) -> None:
        """``audit`` gets an entry for each change that is announced; None: changes are not recorded."""
        self._redis = redis
        self._keys = keys
        self._audit = audit

    @property
    def updaters(self) -> Updaters:
        return {RecipeAnnounced: self.store}

    def store(self, announcements: Iterable[RecipeAnnounced]) -> None:
        """Store announcements that have just arrived."""
        now = datetime.now(UTC).isoformat()
        for line, announced in {each.line: each for each in announcements}.items():
            self._record_change(announced)
            self._redis.hset(self._keys.line_recipes, line, f"{now} {announced.model_dump_json()}")

    def of_line(self, line: str) -> ReceivedMessage[RecipeAnnounced] | None:
        """Return the last announcement about a line; None if there is none."""
        text = cast("str | None", self._redis.hget(self._keys.line_recipes, line))
        if text is None:
            return None
        at, _, announced = text.partition(" ")
        return ReceivedMessage(RecipeAnnounced.model_validate_json(announced), datetime.fromisoformat(at))

    def _record_change(self, announced: RecipeAnnounced) -> None:
        """Enter a change into the audit log. If storage is unavailable, the next announcement is entered."""
        change = announced.change
        if self._audit is None or change is None:
            return
        key = self._keys.audited_recipe(announced.line)
        if self._redis.get(key) == change.change_id:
            return
        subject = f"{announced.line}/{change.recipe}"
        try:
            self._audit.record_once(
                ULID.from_str(change.change_id),
                change.at,
                "recipe.change",
                subject,
                change.by,
                previous=change.previous,
            )
        except StorageError as error:
            _log.warning("a change of a recipe is not in the audit log yet", line=announced.line, reason=str(error))
            return
        self._redis.set(key, change.change_id)
