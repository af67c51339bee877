"""Collect figures round by round, and compare them as ratios of the same round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """A ratio that is wanted: of one thing to another, both measured in each round."""

    text: str
    of: str
    to: str
    wanted: float
    at_most: bool = False
    """Whether the ratio may be at most, and not at least, the wanted one."""

    def is_met(self, ratio: float) -> bool:
        """Return whether a ratio reaches the target."""
        return ratio <= self.wanted if self.at_most else ratio >= self.wanted


class Rounds:
    """The figures of several rounds, by what was measured."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = defaultdict(list)

    def add(self, what: str, figure: float) -> None:
        """Add the figure of one round."""
        self._figures[what].append(figure)

    def figures(self, unit: str) -> str:
        """Return a table of what was measured, in Markdown."""
        rows = [f"| {what} | {_spread(figures)} |" for what, figures in self._figures.items()]
        return "\n".join([f"| | {unit}, median | least to most |", "|---|---|---|", *rows])

    def ratios(self, targets: Sequence[Target]) -> str:
        """Return a table of the targets, in Markdown."""
        lines = ["| ratio | median | least to most | target | |", "|---|---|---|---|---|"]
        for target in targets:
            pairs = zip(self._figures[target.of], self._figures[target.to], strict=True)
            ratios = [first / second for first, second in pairs]
            sign, met = "≤" if target.at_most else "≥", target.is_met(median(ratios))
            miss = "met" if met else f"missed by {abs(median(ratios) - target.wanted):.2f}"
            lines.append(f"| {target.text} | {_spread(ratios)} | {sign} {target.wanted:g} | {miss} |")
        return "\n".join(lines)


def _spread(figures: Sequence[float]) -> str:
    digits = 0 if median(figures) >= 100 else 1 if median(figures) >= 10 else 2
    return f"{median(figures):.{digits}f} | {min(figures):.{digits}f} to {max(figures):.{digits}f}"
