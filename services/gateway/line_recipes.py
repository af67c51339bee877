"""Own the recipe of each line: change it on request, store it, and announce it to the cameras of the line.

A change is refused if no model of the recipe is in production. The cameras name the recipe in each frame, so a change
takes effect at the beginning of a part, and frames of the part before keep their recipe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import lcm
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from ulid import ULID

from services.gateway.outputs.port import CannotChange
from services.gateway.recipes import Recipes
from shared.contracts.bundle import BundleError
from shared.contracts.promotion import production_version, recipes_in_production
from shared.health import Health
from shared.messages import REASON_LENGTH, CameraReported, RecipeAnnounced, RecipeChange, RecipeChangeRequested
from shared.messaging.loop import Reject, RetryLater
from shared.messaging.port import Publisher
from shared.recipe import Parts
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError

FOLDER: Final = "gateways/recipes"
"""Folder of the recipes of lines in object storage, an object for each line."""
ANNOUNCE_SECONDS: Final = 5.0
"""Seconds between two announcements of a line without a change."""
LIST_SECONDS: Final = 10.0
"""Seconds between two listings of the recipes in production."""
OLDEST_SECONDS: Final = 60.0
"""Seconds after which a request is refused: the person who sent it no longer waits for the change."""

_log = structlog.stdlib.get_logger("recipes")


class StoredChange(BaseModel):
    """The last change of a line's recipe, and where in the sequence of frames parts begin by both recipes."""

    model_config = ConfigDict(frozen=True)

    change: RecipeChange
    at_part: bool = False
    every: int = 1


@dataclass
class KnownLine:
    """A line of which a camera has reported."""

    stored: StoredChange | None = None
    """None: its recipe was never changed, or storage has not said so yet."""
    is_read: bool = False
    """Whether storage has said what the last change is."""
    answered: str | None = None
    """The last request."""
    refusal: str = ""
    """Why it was refused; empty: it was done."""


class LineRecipes:
    """The recipes of all lines. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        publisher: Publisher,
        recipes: Recipes,
        inspects: Callable[[str], tuple[str, str]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``inspects`` returns the recipe and the model version of the last verdict on a line, or empty texts."""
        self._store = store
        self._publisher = publisher
        self._recipes = recipes
        self._inspects = inspects
        self._clock = clock
        self._lock = threading.Lock()
        """Held for the table of lines."""
        self._changing = threading.Lock()
        """Held while storage is read or written, which may take seconds."""
        self._wake = threading.Event()
        self._lines: dict[str, KnownLine] = {}
        self._in_production: tuple[str, ...] | None = None
        """None: not listed so far, so nothing is announced."""

    @property
    def in_production(self) -> tuple[str, ...]:
        """The recipes that have a model in production."""
        return self._in_production or ()

    def of(self, line: str) -> str | None:
        """Return the recipe of a line; None: the workers' own, or storage has not said yet."""
        known = self._lines.get(line)
        return known.stored.change.recipe if known and known.stored else None

    def note_report(self, report: CameraReported) -> None:
        """Announce the recipe of a line at once if its camera is new or has another one."""
        is_new = report.line not in self._lines
        if (self._known(report.line).is_read and report.recipe != self.of(report.line)) or is_new:
            self._wake.set()

    def take(self, request: RecipeChangeRequested) -> None:
        """Change the recipe of a line on request, and announce what came of it."""
        known, reason = self._known(request.line), ""
        age = (self._clock() - request.at).total_seconds()
        if age > OLDEST_SECONDS:
            reason = f"no gateway took the request for {age:.0f} s: change the recipe again"
        else:
            try:
                self.change(request.line, request.recipe, request.by, request.change_id)
            except CannotChange as error:
                reason = str(error)
        if reason:
            _log.warning("refused to change the recipe", line=request.line, recipe=request.recipe, reason=reason)
        known.answered, known.refusal = request.change_id, reason[:REASON_LENGTH]
        self._wake.set()

    def change(self, line: str, recipe: str, by: str, change_id: str | None = None) -> None:
        """Change the recipe by which the next parts of a line are inspected. A repeated change has no effect.

        Raises:
            CannotChange: no model of the recipe is in production, or object storage is unavailable.
        """
        known = self._known(line)
        with self._changing:
            try:
                self._read(line, known)
                if self.of(line) == recipe:
                    return
                version = production_version(self._store, recipe)
                if version is None:
                    raise CannotChange(
                        f"no model of recipe {recipe} is in production: promote one, or choose another recipe"
                    )
                stored = self._stored_change(line, recipe, version, by, change_id or str(ULID()))
                self._store.put(_key(line), stored.model_dump_json().encode(), "application/json")
            except (StorageError, RetryLater) as error:
                raise CannotChange(f"object storage is unavailable, so nothing changed: {error}") from error
            except (BundleError, Reject) as error:
                raise CannotChange(str(error)) from error
            known.stored = stored
            if recipe not in self.in_production:
                self._in_production = tuple(sorted({*self.in_production, recipe}))
        _log.info("the recipe of a line changed", line=line, recipe=recipe, by=by)
        self._wake.set()

    def run(self, stop: threading.Event, health: Health) -> None:
        """Announce the recipes until ``stop`` is set."""
        list_at = 0.0
        while not stop.is_set():
            health.beat()
            if time.monotonic() >= list_at:
                self.list_recipes()
                list_at = time.monotonic() + LIST_SECONDS
            self.announce()
            until = time.monotonic() + ANNOUNCE_SECONDS
            while not stop.is_set() and time.monotonic() < until and not self._wake.wait(0.2):
                health.beat()
            self._wake.clear()

    def announce(self) -> None:
        """Announce the recipe of each line whose recipe is known, without waiting for confirms."""
        with self._lock:
            lines = list(self._lines.items())
        for line, known in lines:
            try:
                with self._changing:
                    self._read(line, known)
            except StorageError:
                continue  # the cameras keep the recipe that was announced last
            if self._in_production is not None:
                self._publisher.publish(self._announcement(line, known))

    def _known(self, line: str) -> KnownLine:
        with self._lock:
            return self._lines.setdefault(line, KnownLine())

    def _announcement(self, line: str, known: KnownLine) -> RecipeAnnounced:
        stored = known.stored
        return RecipeAnnounced(
            line=line,
            change=stored.change if stored else None,
            at_part=stored.at_part if stored else False,
            every=stored.every if stored else 1,
            recipes=self.in_production,
            answered=known.answered,
            refusal=known.refusal,
            at=self._clock(),
        )

    def _stored_change(self, line: str, recipe: str, version: str, by: str, change_id: str) -> StoredChange:
        """Return a change that takes effect where a part begins by the recipe before and by this one."""
        inspecting, its_version = self._inspects(line)
        before = self.of(line) or inspecting
        if before and before != inspecting:
            its_version = production_version(self._store, before) or ""
        rules = [self._recipes.parts(line, recipe, version)]
        if before and its_version:
            rules.append(self._recipes.parts(line, before, its_version))
        return StoredChange(
            change=RecipeChange(change_id=change_id, recipe=recipe, previous=before or None, by=by, at=self._clock()),
            at_part=any(rule is not None and rule.of == "identity" for rule in rules),
            every=lcm(*map(_frames_of_a_part, rules)),
        )

    def _read(self, line: str, known: KnownLine) -> None:
        """Read the last change of a line from storage, once."""
        if known.is_read:
            return
        try:
            known.stored = StoredChange.model_validate_json(self._store.get(_key(line)))
        except ObjectNotFound:
            known.stored = None
        except ValidationError as error:
            _log.error("the recipe of a line can't be read: choose it again", line=line, reason=str(error))
        known.is_read = True

    def list_recipes(self) -> None:
        """List the recipes that have a model in production; while storage is unavailable, the last list holds."""
        try:
            self._in_production = tuple(recipes_in_production(self._store))
        except StorageError as error:
            _log.debug("the recipes in production can't be listed", reason=str(error))


@dataclass(frozen=True)
class RecipeOfLine:
    """The recipe of one line, for its outputs; see `services.gateway.outputs.port.LineRecipe`."""

    recipes: LineRecipes
    line: str

    @property
    def current(self) -> str | None:
        return self.recipes.of(self.line)

    @property
    def choices(self) -> tuple[str, ...]:
        return self.recipes.in_production

    def change(self, recipe: str, by: str) -> None:
        self.recipes.change(self.line, recipe, by)


def _frames_of_a_part(parts: Parts | None) -> int:
    """Return how many frames of a camera are a part, if frames are parts by their numbers; else 1."""
    return (parts.size or 1) if parts is not None and parts.of == "frames" else 1


def _key(line: str) -> str:
    return f"{FOLDER}/{line}.json"
