"""What a run found: one line of JSON, and a page with charts."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pygal

from tests.soak.books import Books
from tests.soak.line import End
from tests.soak.watch import RECOVERY_SECONDS, Resources, Watch

WARM_SECONDS = 300.0
"""What a process takes in its first minutes is no growth."""
MEASURED_SECONDS = 240.0
"""A process is inspected by its growth when it lived for so long after that."""
WINDOW_SECONDS = 30.0
MOST_GROWTH = 0.05
MEASURES = ("memory", "threads", "descriptors", "files")
FEW = 4
"""A growth of fewer threads, descriptors or files than this is no growth: their numbers are small."""


@dataclass(frozen=True)
class Happened:
    """A fault that was injected."""

    name: str
    at: float
    lifted: float
    recovered: float | None
    """Seconds from the end of the fault until the line was whole; None: it was not within the bound."""
    hindrance: str = ""
    """What was missing last."""


@dataclass
class Run:
    """Everything that a run found."""

    seed: int
    minutes: float
    pace: float
    capacity: float
    happened: list[Happened] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Kinds of faults that this machine does not allow."""
    ends: list[End] = field(default_factory=list)
    stops: list[tuple[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    growth: dict[str, dict[str, float]] = field(default_factory=dict)

    def close(self, books: Books, watch: Watch, latencies: list[tuple[float, float]]) -> None:
        """Take in what was counted and measured."""
        self.totals, self.latencies = books.totals, latencies
        self.problems += books.problems
        self.problems += [
            f"the line did not recover from: {one.name}" for one in self.happened if one.recovered is None
        ]
        for (name, start), measured in watch.resources.items():
            if found := growth(measured):
                self.growth[f"{name} ({start})"] = found
        for name, found in self.growth.items():
            self.problems += [
                f"{name}: {measure} grows by {share:.1%}" for measure, share in found.items() if share > MOST_GROWTH
            ]

    @property
    def balanced(self) -> bool:
        return not self.problems

    def line(self, watch: Watch) -> dict[str, Any]:
        """The result in one line."""
        recovery = [RECOVERY_SECONDS if one.recovered is None else one.recovered for one in self.happened]
        calm = [latency for at, latency in self.latencies if not self._disturbed(at)]
        pages = [answer.seconds for answer in watch.answers]
        return {
            "seed": self.seed,
            "minutes": self.minutes,
            "frames_per_second": round(self.pace, 1),
            "capacity": round(self.capacity, 1),
            "faults": len(self.happened),
            "kinds": len({one.name for one in self.happened}),
            **self.totals,
            "recovery_p50": percentile(recovery, 50),
            "recovery_p95": percentile(recovery, 95),
            "latency_ms": {f"p{share}": percentile([at for _, at in self.latencies], share) for share in (50, 95, 99)},
            "latency_ms_undisturbed": {f"p{share}": percentile(calm, share) for share in (50, 95, 99)},
            "page_seconds": {"p50": percentile(pages, 50), "p99": percentile(pages, 99), "max": round(max(pages), 2)},
            "longest_stop": max((seconds for _, seconds in self.stops), default=0.0),
            "ended_by_themselves": len(self.ends),
            "most_growth": round(max((found["memory"] for found in self.growth.values()), default=0.0), 4),
            "balanced": self.balanced,
            "problems": self.problems,
        }

    def _disturbed(self, at: float) -> bool:
        return any(one.at - 1 <= at <= one.lifted + (one.recovered or 120) + 1 for one in self.happened)


def percentile(values: Sequence[float], share: int) -> float:
    """Return the percentile of the values."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 2) if ordered else 0.0


def growth(measured: Sequence[Resources]) -> dict[str, float] | None:
    """How much a process grew after its first minutes, as a share; None when it did not live long enough.

    The line is fitted to the medians of windows by the median of all slopes, so that single peaks do not count.
    """
    windows: dict[int, list[Resources]] = defaultdict(list)
    for one in measured:
        if one.age >= WARM_SECONDS:
            windows[int(one.age // WINDOW_SECONDS)].append(one)
    if len(windows) * WINDOW_SECONDS < MEASURED_SECONDS:
        return None
    return {
        measure: _growth({at: _median(group, measure) for at, group in windows.items()}, measure)
        for measure in MEASURES
    }


def _median(group: Iterable[Resources], measure: str) -> float:
    return statistics.median(float(getattr(one, measure)) for one in group)


def _growth(medians: dict[int, float], measure: str) -> float:
    points = sorted(medians.items())
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :]]
    grown = statistics.median(slopes) * (points[-1][0] - points[0][0])
    if measure != "memory" and grown < FEW:
        return 0.0
    return round(grown / max(1.0, points[0][1]), 4)


def write(run: Run, watch: Watch, folder: Path) -> Path:
    """The page, its charts, and the measured values; returns the page."""
    found = run.line(watch)
    (folder / "result.json").write_text(json.dumps(found) + "\n")
    (folder / "faults.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in run.happened))
    (folder / "looks.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in watch.looks))
    (folder / "resources.jsonl").write_text(
        "".join(
            json.dumps({"name": name, "start": start, **asdict(one)}) + "\n"
            for (name, start), measured in watch.resources.items()
            for one in measured
        )
    )
    _draw(run, watch, folder)
    (folder / "figures.md").write_text(figures(found))
    page = folder / "report.md"
    page.write_text(_page(run, watch, found))
    return page


def figures(found: dict[str, Any]) -> str:
    """The result as the table of docs/reliability.md."""
    latency, calm, pages = found["latency_ms"], found["latency_ms_undisturbed"], found["page_seconds"]
    rows = {
        "run": f"{found['minutes']:g} minutes, seed {found['seed']}, {found['frames_per_second']} frames/s",
        "faults": f"{found['faults']} of {found['kinds']} kinds",
        "balance": (
            f"captured {found['captured']:,} = {found['verdicts']:,} distinct verdicts + {found['dropped']:,} dropped "
            f"+ {found['parked_frames']:,} parked; flagged {found['flagged']:,} = {found['explained']:,} explained; "
            f"{'balanced' if found['balanced'] else 'not balanced: ' + '; '.join(found['problems'])}"
        ),
        "time to recover": f"median {found['recovery_p50']} s, p95 {found['recovery_p95']} s",
        "from capture to verdict, between faults": f"p50 {calm['p50']} ms, p95 {calm['p95']} ms, p99 {calm['p99']} ms",
        "from capture to verdict, outages included": f"p50 {latency['p50']} ms, p95 {latency['p95'] / 1000:.1f} s",
        "answer of a dashboard": f"p50 {pages['p50']} s, p99 {pages['p99']} s, longest {pages['max']} s",
        "stop of a service": f"{found['longest_stop']} s at most",
        "processes that ended by themselves": found["ended_by_themselves"],
        "growth of memory after five minutes": f"{found['most_growth']:.1%} at most",
    }
    return "".join(["| | |\n|---|---|\n", *(f"| {name} | {value} |\n" for name, value in rows.items())])


def _draw(run: Run, watch: Watch, folder: Path) -> None:
    for measure in MEASURES:
        series: dict[str, list[tuple[float, float] | None]] = defaultdict(list)
        for (name, _), measured in sorted(watch.resources.items()):
            series[name] += [*((one.at / 60, getattr(one, measure)) for one in measured), None]
        _chart(folder / f"{measure}.svg", {"memory": "memory, MB"}.get(measure, measure), series)
    inspected = [
        (b.at / 60, (b.inspected - a.inspected) / (b.at - a.at))
        for a, b in zip(watch.looks, watch.looks[5:], strict=False)
    ]
    flow = {"inspected frames per second": [point for point in inspected if point[1] >= 0]}
    _chart(folder / "flow.svg", "inspected frames per second", flow)
    _chart(
        folder / "in_flight.svg",
        "frames in flight",
        {"in flight": [(one.at / 60, one.in_flight) for one in watch.looks]},
    )
    _chart(
        folder / "answers.svg",
        "seconds until a page answers",
        {"answers": [(one.at / 60, one.seconds) for one in watch.answers]},
    )


def _chart(path: Path, title: str, series: dict[str, Any]) -> None:
    chart = pygal.XY(title=title, x_title="minutes", show_dots=False, js=(), width=1000, height=360, show_y_guides=True)
    for name, points in series.items():
        chart.add(name, points, allow_interruptions=True)
    chart.render_to_file(str(path))


def _page(run: Run, watch: Watch, found: dict[str, Any]) -> str:
    facts = [f"| {name} | {value} |" for name, value in found.items() if name != "problems"]
    balance = [f"- {problem}" for problem in run.problems] or ["The books balance."]
    ends = [f"- {end.name}, code {end.code}, after {end.seconds} s: `{end.last_words}`" for end in run.ends] or [
        "None."
    ]
    charts = [f"![{name}]({name}.svg)" for name in ("flow", "in_flight", "answers", *MEASURES)]
    grown = [
        f"| {name} | {' | '.join(f'{share:+.1%}' for share in found_.values())} |"
        for name, found_ in run.growth.items()
    ]
    parts = [
        ["# Soak", "", "| | |", "|---|---|", *facts],
        ["## Problems", "", *balance],
        ["## Recovery (seconds)", "", "| fault | times | median | longest |", "|---|---|---|---|", *_recoveries(run)],
        ["## Ended by themselves", "", *ends],
        [
            "## Growth after the first five minutes",
            "",
            f"| process | {' | '.join(MEASURES)} |",
            "|---" * 5 + "|",
            *grown,
        ],
        ["## Left out", "", *(run.left_out or ["Nothing."])],
        ["## Over time", "", *charts],
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _recoveries(run: Run) -> Iterable[str]:
    by_name: dict[str, list[float]] = defaultdict(list)
    for one in run.happened:
        by_name[one.name].append(one.recovered if one.recovered is not None else float("inf"))
    for name, seconds in sorted(by_name.items()):
        yield f"| {name} | {len(seconds)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |"
