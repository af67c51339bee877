"""Change the recipe of a line for a receiver that requests it, in a thread: object storage may take seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from services.gateway.outputs.port import CannotChange, LineRecipe

MOST_WAITING: Final = 10
"""Most requests that wait for their answers."""

_log = structlog.stdlib.get_logger("outputs")


class RecipeRequests:
    """The requests of one receiver, which are answered one after the other."""

    def __init__(self, recipe: LineRecipe, by: str) -> None:
        """``by`` is the receiver as the audit log names it."""
        self.line = recipe
        self._by = by
        self._places = threading.Semaphore(MOST_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recipe")

    def change(self, recipe: str, answer: Callable[[str], None]) -> None:
        """Change the recipe of the line, and call ``answer`` with why it was refused; empty: it was changed."""
        if not self._places.acquire(blocking=False):
            answer(f"{MOST_WAITING} requests wait: request it again when they are answered")
            return

        def run() -> None:
            refusal = ""
            try:
                self.line.change(recipe, self._by)
            except CannotChange as error:
                refusal = str(error)
                _log.warning("refused to change the recipe", recipe=recipe, by=self._by, reason=refusal)
            finally:
                self._places.release()
            answer(refusal)

        self._thread.submit(run)

    def close(self) -> None:
        """Answer no further request."""
        self._thread.shutdown(wait=False, cancel_futures=True)
