"""Answers about quality, from counts that are there already: no frame is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

from services.dashboard.lines.repository import LineRepository
from services.dashboard.quality.question import LimitsFrom, Question
from services.dashboard.quality.schemas import (
    Chart,
    Comparison,
    LabelCount,
    LabelDifference,
    ModelChange,
    Point,
    QualityView,
    WindowCount,
)
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.comparison import difference
from services.dashboard.statistics.control_chart import Control, Sample, control_of, frames_for_rules, marks
from services.dashboard.statistics.rates import rate
from services.dashboard.statistics.windows import Every, Span, fitting, spans
from services.dashboard.store.counting import Counting, Counts
from services.dashboard.web.problems import Problem

MOST_POINTS: Final = 800
"""More can be neither read nor answered at once."""
SLACK: Final = timedelta(hours=1)
"""A window of as long as counts are kept may begin within a bucket that has just gone."""


class QualityService:
    """Defect rates over time, their limits, and what differs."""

    def __init__(self, register: LineRepository, counting: Counting, settings: DashboardSettings) -> None:
        self._register = register
        self._counting = counting
        self._shifts = settings.working_day
        self._minutes = timedelta(hours=settings.minute_hours)
        self._slice_hours = timedelta(days=settings.slice_hour_days)
        self._hours = timedelta(days=settings.hour_days)

    def view(self, question: Question) -> QualityView:
        """A window with its control chart and the Pareto of its labels.

        Raises:
            Problem: 404; 422 when counts of that kind are not kept for so long, or the points are too many.
        """
        every = self._every(question)
        stretches, counts = self._count(question, every)
        total = _sum(counts)
        chart = self._chart(replace(question, every=every), stretches, counts, total)
        return QualityView(chart=chart, labels=pareto(total), inspected=total.inspected, error=total.error)

    def compare(self, question: Question, against: Question) -> Comparison:
        """Two windows side by side; raises as `view`."""
        every = max(self._every(question), self._every(against), key=list(Every).index)
        ours, our_counts = self._count(question, every)
        if against.last == question.first:
            # just before: points are whole, and none belongs to both
            against = against.over(ours[0].start - (against.last - against.first), ours[0].start)
        theirs, their_counts = self._count(against, every)
        total, other = _sum(our_counts), _sum(their_counts)
        labels = [None, *(found.label for found in pareto(_sum([total, other])))]
        rows = []
        for label in labels:
            one, two = sample_of(total, label), sample_of(other, label)
            rows.append(
                LabelDifference(
                    label=label,
                    window=_window(ours, one),
                    against=_window(theirs, two),
                    difference=difference(one.hits, one.frames, two.hits, two.frames),
                )
            )
        return Comparison(rows=rows)

    def _every(self, question: Question) -> Every:
        """The length of a point that is asked for, or the shortest that suits the window and is still kept."""
        if question.shift is not None:
            return Every.SHIFT
        if question.every:
            return question.every
        longer = list(Every)[list(Every).index(fitting(question.first, question.last)) :]
        return next(every for every in longer if self._is_kept(every, question))

    def _is_kept(self, every: Every, question: Question) -> bool:
        kept = self._kept(every, question)
        return kept is None or datetime.now(UTC) - question.first <= kept + SLACK

    def _kept(self, every: Every, question: Question) -> timedelta | None:
        hours = self._slice_hours if question.part else self._hours
        return {Every.MINUTE: self._minutes, Every.HOUR: hours, Every.SHIFT: self._hours}.get(every)

    def _count(self, question: Question, every: Every) -> tuple[list[Span], list[Counts]]:
        if question.line:
            self._register.check(question.line)
        if not self._is_kept(every, question):
            days = (self._kept(every, question) or SLACK) / timedelta(days=1)
            raise Problem(422, f"every: counts by {every.value} are kept for {days:.0f} days: take longer points")
        lines = [question.line] if question.line else self._register.all()
        stretches = self._spans(question, every)
        keys = [
            [self._counting.key(line, span.step, start, question.part) for line in lines for start in span.buckets]
            for span in stretches
        ]
        return stretches, self._counting.sums(keys)

    def _spans(self, question: Question, every: Every) -> list[Span]:
        if question.shift is not None:
            return self._spans_of_shift(question, question.shift)
        shortest = {Every.MINUTE: timedelta(minutes=1), Every.HOUR: timedelta(hours=1)}.get(
            every, timedelta(days=1) / (len(self._shifts.begin) if every is Every.SHIFT else 1)
        )
        if (question.last - question.first) / shortest > MOST_POINTS:
            raise Problem(422, f"every: more than {MOST_POINTS} points: take longer ones, or a shorter time")
        return spans(every, question.first, question.last, self._shifts)

    def _spans_of_shift(self, question: Question, shift: int) -> list[Span]:
        if (question.last - question.first).days > MOST_POINTS:
            raise Problem(422, f"from: more than {MOST_POINTS} points: take a shorter time")
        found = spans(Every.SHIFT, question.first, question.last, self._shifts)
        found = [span for span in found if self._shifts.number(span.start) == shift]
        if not found:
            raise Problem(422, "shift: none of that number begins in this time")
        return found

    def _chart(self, question: Question, stretches: list[Span], counts: list[Counts], total: Counts) -> Chart:
        samples = [sample_of(found, question.label) for found in counts]
        whole = sample_of(total, question.label)
        control = control_of(self._before(question, stretches) or samples)
        return Chart(
            start=stretches[0].start,
            end=stretches[-1].end,
            every=question.every or self._every(question),
            label=question.label,
            frames=whole.frames,
            hits=whole.hits,
            rate=rate(whole.hits, whole.frames),
            centre=control.centre if control else None,
            spread=control.spread if control else None,
            provisional=control is None or control.provisional,
            frames_for_rules=frames_for_rules(control) if control else None,
            points=self._points(stretches, counts, samples, control),
            changes=_changes(stretches, counts),
        )

    def _before(self, question: Question, stretches: list[Span]) -> list[Sample]:
        """The samples that the limits are made of, when those are not the ones that are shown."""
        if question.limits is LimitsFrom.WINDOW:
            return []
        start = stretches[0].start
        before = question.over(start - (question.last - question.first), start)
        _, counts = self._count(before, question.every or self._every(before))
        samples = [sample_of(found, question.label) for found in counts]
        return samples if any(sample.frames for sample in samples) else []

    def _points(
        self,
        stretches: Sequence[Span],
        counts: Sequence[Counts],
        samples: Sequence[Sample],
        control: Control | None,
    ) -> list[Point]:
        broken = marks(samples, control) if control else [()] * len(samples)
        points = []
        for span, found, sample, rules in zip(stretches, counts, samples, broken, strict=True):
            low, high = control.limits(sample.frames) if control and sample.frames else (None, None)
            points.append(
                Point(
                    start=span.start,
                    end=span.end,
                    shift=self._shifts.number(span.start) if span.step == Every.SHIFT else None,
                    frames=sample.frames,
                    hits=sample.hits,
                    rate=rate(sample.hits, sample.frames),
                    low=low,
                    high=high,
                    above=control is not None and sample.share > control.centre,
                    rules=list(rules),
                    enough=control is not None and control.enough(sample),
                    models=found.model,
                )
            )
        return points


def sample_of(counts: Counts, label: str | None) -> Sample:
    """What is counted: NG frames of those inspected, or frames made NG by a label of those scored on it."""
    if label is None:
        return Sample(counts.ng, counts.conclusive)
    return Sample(counts.fault.get(label, 0), counts.scored.get(label, 0))


def pareto(counts: Counts) -> list[LabelCount]:
    """The labels by how often they made frames NG."""
    found = []
    for label in sorted(counts.scored, key=lambda name: (-counts.fault.get(name, 0), name)):
        sample = sample_of(counts, label)
        share = rate(sample.hits, sample.frames)
        found.append(LabelCount(label=label, faults=sample.hits, scored=sample.frames, rate=share, cumulative=0.0))
    return accumulated(found)


def accumulated(labels: Sequence[LabelCount]) -> list[LabelCount]:
    """The same labels, each with the share of it and those before it in the faults of all of these."""
    faults = sum(label.faults for label in labels) or 1
    so_far = accumulate(label.faults for label in labels)
    return [label.model_copy(update={"cumulative": upto / faults}) for label, upto in zip(labels, so_far, strict=True)]


def _sum(counts: Sequence[Counts]) -> Counts:
    total = Counts()
    for found in counts:
        total.add(found)
    return total


def _window(stretches: Sequence[Span], sample: Sample) -> WindowCount:
    return WindowCount(
        start=stretches[0].start,
        end=stretches[-1].end,
        frames=sample.frames,
        hits=sample.hits,
        rate=rate(sample.hits, sample.frames),
    )


def _changes(stretches: Sequence[Span], counts: Sequence[Counts]) -> list[ModelChange]:
    """Where a model inspected that had not inspected in the points before."""
    known: set[str] = set()
    changes = []
    for span, found in zip(stretches, counts, strict=True):
        new = sorted(set(found.model) - known)
        if known:
            changes += [ModelChange(at=span.start, version=version) for version in new]
        if found.model:
            known = set(found.model)
    return changes
