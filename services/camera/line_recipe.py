"""Know the recipe by which the frames of the camera's line are inspected, as the gateway announces it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from shared import topology
from shared.messages import MalformedMessage, RecipeAnnounced
from shared.messaging.port import Broker, BrokerRefusedLogin, BrokerUnavailable, MessagingError, Subscription

RECEIVE_SECONDS: Final = 0.5
"""Most seconds until a request to stop is noticed."""
RETRY_SECONDS: Final = 2.0
"""Seconds between two tries to receive announcements."""

log = structlog.get_logger(__name__)


class LineRecipe:
    """The last announcement, and the recipe of the next frame. Thread-safe.

    The announcement is stored, so that a camera that starts while the broker is away names the same recipe.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Read the last announcement from ``file``; None: store none."""
        self._file = file
        self._lock = threading.Lock()
        self._announced = self._read()
        self._of_frame = self.recipe
        """The recipe of the last frame."""
        self._part: str | None = None
        """The part of the last frame."""

    @property
    def recipe(self) -> str | None:
        """The recipe of the next part; None: frames name no recipe."""
        return self._announced.recipe if self._announced else None

    def announce(self, announced: RecipeAnnounced) -> None:
        """Take an announcement: a change takes effect when the next part begins."""
        with self._lock:
            before, self._announced = self._announced, announced
        if before is None or before.model_copy(update={"at": announced.at}) != announced:
            self._store(announced)
        if before is None or before.recipe != announced.recipe:
            log.info("the next part is inspected by another recipe", recipe=announced.recipe)

    def of_frame(self, sequence: int, part: str | None) -> str | None:
        """Return the recipe of the next frame, by its number and its part: frames of one part have the same recipe."""
        with self._lock:
            if announced := self._announced:
                begins = not announced.at_part or part is None or part != self._part
                if begins and sequence % announced.every == 0:
                    self._of_frame = announced.recipe
            self._part = part
            return self._of_frame

    def refusal(self, recipe: str) -> str:
        """Return why no frame can be inspected by a recipe; empty if one can, or if nothing was announced."""
        announced = self._announced
        if announced is None or recipe in announced.recipes:
            return ""
        others = ", ".join(announced.recipes) or "none"
        return f"no model of recipe {recipe} is in production: promote one, or name another recipe ({others})"

    def _read(self) -> RecipeAnnounced | None:
        if self._file is None or not self._file.exists():
            return None
        try:
            return RecipeAnnounced.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("the recipe of the line is not known until it is announced", reason=str(error).splitlines()[0])
            return None

    def _store(self, announced: RecipeAnnounced) -> None:
        if self._file is None:
            return
        part = self._file.with_suffix(".part")
        try:
            part.write_text(announced.model_dump_json(), encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            log.warning("the recipe of the line is not stored for the next start", reason=str(error))


class RecipeListener:
    """Receives the announcements about a line in a thread. While the broker is away, the last announcement holds."""

    def __init__(self, recipe: LineRecipe, line: str, connect: Callable[[], Broker]) -> None:
        """Start the thread."""
        self._recipe = recipe
        self._source = topology.LINE_RECIPES.about(line)
        self._connect = connect
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recipe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(2 * RETRY_SECONDS)

    def _run(self) -> None:
        broker: Broker | None = None
        subscription: Subscription | None = None
        trouble = ""
        try:
            while not self._stop.is_set():
                try:
                    broker = broker or self._connect()
                    subscription = subscription or broker.subscribe(self._source, prefetch=10)
                    self._receive(subscription)
                    trouble = ""
                except MessagingError as error:
                    # the sender reports a broker that can't be reached, and a refused login
                    if not isinstance(error, BrokerUnavailable | BrokerRefusedLogin) and str(error) != trouble:
                        log.warning("no recipe of the line is announced; the last one holds", reason=str(error))
                    trouble = str(error)
                    if subscription and not isinstance(error, BrokerUnavailable):
                        subscription.close()
                        subscription = None
                    self._stop.wait(RETRY_SECONDS)
        finally:
            if broker:
                broker.close()

    def _receive(self, subscription: Subscription) -> None:
        deliveries = subscription.receive(10, RECEIVE_SECONDS)
        for delivery in deliveries:
            with suppress(MalformedMessage):  # of a newer gateway
                message = delivery.read()
                if isinstance(message, RecipeAnnounced):
                    self._recipe.announce(message)
        if deliveries:
            subscription.acknowledge(deliveries)
