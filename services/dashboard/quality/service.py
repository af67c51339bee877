"""Defect rates over time, their control limits, and the comparison of two windows, all from counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

from services.dashboard.lines.repository import LineRepository
from services.dashboard.lines.schemas import PartCounts
from services.dashboard.quality.control_limits import limit_samples
from services.dashboard.quality.filter import ComparedBy, QualityFilter
from services.dashboard.quality.schemas import (
    Breakdown,
    Chart,
    GroupCount,
    LabelCount,
    LabelDifference,
    ModelChange,
    Point,
    QualityView,
    WindowComparison,
    WindowCount,
)
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics import windows
from services.dashboard.statistics.control_chart import ControlLimits, Sample, control_of, frames_for_rules, marks
from services.dashboard.statistics.difference import difference
from services.dashboard.statistics.rates import rate
from services.dashboard.statistics.windows import Span, Subgroup
from services.dashboard.store.counting import Counting, Counts
from services.dashboard.web.problems import Problem
from shared.language import gettext, word

MOST_GROUPS: Final = 30
"""Most models, batches or cameras in a comparison."""
MOST_POINTS: Final = 800
"""Most points of a chart."""
SLACK: Final = timedelta(hours=1)
"""A window may begin this much before the oldest stored bucket, which may just have expired."""


class QualityService:
    """Computes control charts, comparisons and breakdowns from counts."""

    def __init__(self, lines: LineRepository, counting: Counting, settings: DashboardSettings) -> None:
        self._lines = lines
        self._counting = counting
        self._shifts = settings.shift_times
        self._minutes = timedelta(hours=settings.minute_hours)
        self._slice_hours = timedelta(days=settings.slice_hour_days)
        self._hours = timedelta(days=settings.hour_days)

    def view(self, quality_filter: QualityFilter) -> QualityView:
        """Return the control chart of a window and the Pareto of its labels.

        Raises:
            Problem: 404: there is no such line; 422: such counts are not stored for so long, or there are too
                many points.
        """
        subgroup = self._subgroup(quality_filter)
        spans, counts = self._count(quality_filter, subgroup)
        total = _sum(counts)
        samples = [sample_of(found, quality_filter.label) for found in counts]

        def samples_before() -> list[Sample]:
            _, counts_before = self._count(quality_filter.moved_to_end_at(spans[0].start), subgroup)
            return [sample_of(found, quality_filter.label) for found in counts_before]

        control = control_of(limit_samples(quality_filter.limits, samples, samples_before))
        whole = sample_of(total, quality_filter.label)
        chart = Chart(
            start=spans[0].start,
            end=spans[-1].end,
            subgroup=subgroup,
            label=quality_filter.label,
            frames=whole.frames,
            hits=whole.hits,
            rate=rate(whole.hits, whole.frames),
            centre=control.centre if control else None,
            spread=control.spread if control else None,
            provisional=control is None or control.provisional,
            frames_for_rules=frames_for_rules(control) if control else None,
            points=self._points(spans, counts, samples, control),
            changes=model_changes(spans, counts),
        )
        return QualityView(
            chart=chart,
            labels=pareto(total),
            inspected=total.inspected,
            error=total.error,
            parts=PartCounts.of(total),
        )

    def compare(self, quality_filter: QualityFilter, against: QualityFilter) -> WindowComparison:
        """Return the counts and differences of two windows; raises the errors of `view`."""
        subgroup = max(self._subgroup(quality_filter), self._subgroup(against), key=list(Subgroup).index)
        ours, our_counts = self._count(quality_filter, subgroup)
        if against.last == quality_filter.first:
            # just before: points are whole, and none belongs to both
            against = against.moved_to_end_at(ours[0].start)
        theirs, their_counts = self._count(against, subgroup)
        total, other = _sum(our_counts), _sum(their_counts)
        rows = []
        for label in [None, *(found.label for found in pareto(_sum([total, other])))]:
            one, two = sample_of(total, label), sample_of(other, label)
            rows.append(
                LabelDifference(
                    label=label,
                    window=_window(ours, one),
                    against=_window(theirs, two),
                    difference=difference(one.hits, one.frames, two.hits, two.frames),
                )
            )
        return WindowComparison(rows=rows)

    def breakdown(self, quality_filter: QualityFilter, by: ComparedBy) -> Breakdown:
        """Return the rate of each model, batch, camera or shift within a window; raises as `view`.

        Models, batches and cameras: the `MOST_GROUPS` with the newest frames.
        """
        groups: dict[str, Counts] = {}
        if by is ComparedBy.SHIFT:
            spans, counts = self._count(replace(quality_filter, subgroup=Subgroup.SHIFT), Subgroup.SHIFT)
            for span, found in zip(spans, counts, strict=True):
                groups.setdefault(str(self._shifts.number(span.start)), Counts()).add(found)
        else:
            if quality_filter.slice_name:
                raise Problem(422, gettext("by: choose no camera, batch or model, or compare by shift"))
            lines = [quality_filter.line] if quality_filter.line else self._lines.all()
            names = dict.fromkeys(name for line in lines for name in self._counting.slices(line, by.value, MOST_GROUPS))
            for name in list(names)[:MOST_GROUPS]:
                of_group = replace(quality_filter, slice_name=f"{by.value}={name}")
                groups[name] = _sum(self._count(of_group, self._subgroup(of_group))[1])
        found_groups = []
        for name, counts_of_group in groups.items():
            sample = sample_of(counts_of_group, quality_filter.label)
            share = rate(sample.hits, sample.frames)
            if share:
                found_groups.append(GroupCount(name=name, frames=sample.frames, hits=sample.hits, rate=share))
        return Breakdown(by=by, label=quality_filter.label, groups=found_groups)

    def _subgroup(self, quality_filter: QualityFilter) -> Subgroup:
        """Return the length of a point: the chosen one, or the shortest that suits the window and is still stored."""
        if quality_filter.shift is not None:
            return Subgroup.SHIFT
        if quality_filter.subgroup:
            return quality_filter.subgroup
        longer = list(Subgroup)[list(Subgroup).index(windows.fitting(quality_filter.first, quality_filter.last)) :]
        return next(subgroup for subgroup in longer if self._is_stored(subgroup, quality_filter))

    def _is_stored(self, subgroup: Subgroup, quality_filter: QualityFilter) -> bool:
        stored_for = self._stored_for(subgroup, quality_filter)
        return stored_for is None or datetime.now(UTC) - quality_filter.first <= stored_for + SLACK

    def _stored_for(self, subgroup: Subgroup, quality_filter: QualityFilter) -> timedelta | None:
        hours = self._slice_hours if quality_filter.slice_name else self._hours
        return {Subgroup.MINUTE: self._minutes, Subgroup.HOUR: hours, Subgroup.SHIFT: self._hours}.get(subgroup)

    def _count(self, quality_filter: QualityFilter, subgroup: Subgroup) -> tuple[list[Span], list[Counts]]:
        """Return the points of a window and the counts of each."""
        if quality_filter.line:
            self._lines.check(quality_filter.line)
        if not self._is_stored(subgroup, quality_filter):
            days = (self._stored_for(subgroup, quality_filter) or SLACK) / timedelta(days=1)
            raise Problem(
                422,
                gettext(
                    "subgroup: counts by %(subgroup)s are stored for %(days)s days: take longer points",
                    subgroup=word(subgroup),
                    days=round(days),
                ),
            )
        lines = [quality_filter.line] if quality_filter.line else self._lines.all()
        shifts_of_a_day = (
            len(self._shifts.begin_times) if subgroup is Subgroup.SHIFT and quality_filter.shift is None else 1
        )
        shortest = {Subgroup.MINUTE: timedelta(minutes=1), Subgroup.HOUR: timedelta(hours=1)}.get(
            subgroup, timedelta(days=1) / shifts_of_a_day
        )
        if (quality_filter.last - quality_filter.first) / shortest > MOST_POINTS:
            raise Problem(
                422,
                gettext(
                    "subgroup: more than %(most_points)s points: take longer ones, or a shorter time",
                    most_points=MOST_POINTS,
                ),
            )
        spans = windows.spans(subgroup, quality_filter.first, quality_filter.last, self._shifts)
        if quality_filter.shift is not None:
            spans = [span for span in spans if self._shifts.number(span.start) == quality_filter.shift]
        if not spans:
            raise Problem(422, gettext("shift: no shift of that number begins in this time"))
        keys = [
            [
                self._counting.key(line, span.step, start, quality_filter.slice_name)
                for line in lines
                for start in span.buckets
            ]
            for span in spans
        ]
        return spans, self._counting.sums(keys)

    def _points(
        self,
        spans: Sequence[Span],
        counts: Sequence[Counts],
        samples: Sequence[Sample],
        control: ControlLimits | None,
    ) -> list[Point]:
        broken = marks(samples, control) if control else [()] * len(samples)
        points = []
        for span, found, sample, rules in zip(spans, counts, samples, broken, strict=True):
            low, high = control.limits(sample.frames) if control and sample.frames else (None, None)
            points.append(
                Point(
                    start=span.start,
                    end=span.end,
                    shift=self._shifts.number(span.start) if span.step == Subgroup.SHIFT else None,
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
    """Return the NG frames of all conclusive ones, or the frames a label made NG of those scored on it."""
    if label is None:
        return Sample(counts.ng, counts.conclusive)
    return Sample(counts.fault.get(label, 0), counts.scored.get(label, 0))


def pareto(counts: Counts) -> list[LabelCount]:
    """Return the labels by how many frames they made NG, the most frequent first."""
    found = []
    for label in sorted(counts.scored, key=lambda name: (-counts.fault.get(name, 0), name)):
        sample = sample_of(counts, label)
        share = rate(sample.hits, sample.frames)
        found.append(LabelCount(label=label, faults=sample.hits, scored=sample.frames, rate=share, cumulative=0.0))
    return with_cumulative_shares(found)


def with_cumulative_shares(labels: Sequence[LabelCount]) -> list[LabelCount]:
    """Return the labels with their cumulative shares of all faults of these labels."""
    faults = sum(label.faults for label in labels) or 1
    sums = accumulate(label.faults for label in labels)
    return [label.model_copy(update={"cumulative": upto / faults}) for label, upto in zip(labels, sums, strict=True)]


def model_changes(spans: Sequence[Span], counts: Sequence[Counts]) -> list[ModelChange]:
    """Return the points at which a model began to inspect that had not inspected before."""
    known: set[str] = set()
    changes = []
    for span, found in zip(spans, counts, strict=True):
        new = sorted(set(found.model) - known)
        if known:
            changes += [ModelChange(at=span.start, version=version) for version in new]
        if found.model:
            known = set(found.model)
    return changes


def _sum(counts: Sequence[Counts]) -> Counts:
    total = Counts()
    for found in counts:
        total.add(found)
    return total


def _window(spans: Sequence[Span], sample: Sample) -> WindowCount:
    return WindowCount(
        start=spans[0].start,
        end=spans[-1].end,
        frames=sample.frames,
        hits=sample.hits,
        rate=rate(sample.hits, sample.frames),
    )
