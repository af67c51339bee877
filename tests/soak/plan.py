"""Which faults come when: drawn once from the seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.soak.faults import Fault

FIRST_SECONDS = 15.0
"""Of undisturbed work before the first fault."""
STEP_SECONDS = 25.0
"""From one step of the plan to the next, unless the line takes longer to recover."""
PAIRS = 0.3
"""Share of the steps at which two things fail at once."""
EARLY = 0.4
"""Share of the run in which any process may be killed; later some live on, so that their growth can be measured."""


@dataclass(frozen=True)
class Step:
    """Faults that begin together, with the seconds that each lasts."""

    at: float
    faults: tuple[tuple[Fault, float], ...]


def draw(seed: int, seconds: float, faults: Sequence[Fault], step_seconds: float = STEP_SECONDS) -> list[Step]:
    """The steps of a run: every kind comes once before any comes again."""
    rng = random.Random(seed)
    deck = _Deck(rng, faults)
    steps = []
    at = FIRST_SECONDS
    while at < seconds - step_seconds / 2:
        early = at < EARLY * seconds
        drawn = [deck.take(early, ())]
        if rng.random() < PAIRS:
            drawn.append(deck.take(early, [drawn[0].target]))
        steps.append(Step(at, tuple((fault, round(rng.uniform(*fault.seconds), 1)) for fault in drawn)))
        at += step_seconds
    return steps


class _Deck:
    """All kinds in random order, again and again."""

    def __init__(self, rng: random.Random, faults: Sequence[Fault]) -> None:
        self._rng = rng
        self._faults = faults
        self._left: list[Fault] = []

    def take(self, early: bool, taken: Sequence[str]) -> Fault:
        """The next kind that suits the moment, and whose target nothing else breaks."""
        while True:
            for fault in self._left:
                if (early or not fault.early) and fault.target not in taken:
                    self._left.remove(fault)
                    return fault
            self._left += self._shuffled()

    def _shuffled(self) -> Iterator[Fault]:
        return iter(self._rng.sample(self._faults, len(self._faults)))
