"""The results that clients may fetch: a bounded buffer of the last ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.gateway.outputs.opcua.state_machine import Job
from services.gateway.outputs.port import Signal


@dataclass(frozen=True)
class Result:
    """A decision as the result of a job."""

    signal: Signal
    job: Job
    model_version: str
    created_at: datetime
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has it."""


class Results:
    """The last results by their ids, the oldest first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[str, Result] = OrderedDict()
        self.overruns = 0
        """Results of parts of production that no client has taken in time."""

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: Result) -> None:
        """Add a result; the oldest one makes room for it."""
        self._results[result.signal.id] = result
        self._results.move_to_end(result.signal.id)
        while len(self._results) > self._size:
            self._results.popitem(last=False)

    def withdraw(self, result: Result) -> None:
        """Remove a result that no client has taken in time."""
        self._results.pop(result.signal.id, None)
        self.overruns += not result.signal.test

    def fetch(self, result_id: str) -> Result | None:
        """Return a result to a client, which has it from now on; None: it is not in the buffer."""
        if result := self._results.get(result_id):
            result.taken.set()
        return result

    def select(self, *, part: str = "", job: str = "", recipe: str = "", first: int = 0, most: int = 0) -> list[Result]:
        """Return results to a client, the oldest first, which has them from now on.

        Args:
            part: the part id that they must have; empty: any.
            job: the id of the job that they must have; empty: any.
            recipe: the recipe that they must have; empty: any.
            first: the number of results to pass over.
            most: the number of results, at most; 0: all.
        """
        found: Sequence[Result] = [
            result
            for result in self._results.values()
            if part in ("", part_id(result)) and job in ("", result.job.id) and recipe in ("", result.signal.recipe)
        ]
        chosen = found[first:][: most or None]
        for result in chosen:
            result.taken.set()
        return list(chosen)


def part_id(result: Result) -> str:
    """Return the part id of a result: the one that the client gave with the start, or the name of the part."""
    return result.job.part_id or result.signal.part
