"""Groups: parts, batches, and runs of frames that have neither."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.dashboard.labelling.annotations.annotation import InspectedFrame
from services.dashboard.labelling.exports.groups import APART, LONGEST, groups_of
from tests.labelling import BEGAN, inspected


def unnamed(number: int, after: float, camera: str = "camera-1") -> InspectedFrame:
    found = inspected(number, after=after)
    return found.model_copy(update={"frame": found.frame.model_copy(update={"batch": None, "camera": camera})})


def grouped(*seconds: float) -> list[str | None]:
    frames = [unnamed(number, after) for number, after in enumerate(seconds)]
    found = groups_of(frames)
    return [found[each.frame.frame_id] for each in frames]


def test_a_part_or_a_batch_is_a_group() -> None:
    found = groups_of([inspected(1, part="p1"), inspected(2, part="p1", after=999), inspected(3)])
    assert list(found.values()) == ["line-1/batch-7/p1", "line-1/batch-7/p1", "line-1/batch-7"]


def test_neighbours_over_the_turn_of_a_minute_or_an_hour_stay_together() -> None:
    for turn in (60.0, 3600.0 - 60 * BEGAN.minute):
        before, after = grouped(turn - 0.1, turn + 0.1)
        assert before == after is not None


def test_a_pause_of_the_line_begins_a_new_group() -> None:
    first, second, third = grouped(0, 29, 60)
    assert first == second != third


def test_two_cameras_of_a_line_see_the_same_thing() -> None:
    found = groups_of([unnamed(1, 0), unnamed(2, 5, camera="camera-2")])
    assert len(set(found.values())) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.1, 1.0, 20.0, 29.9, 31.0]), min_size=1, max_size=300), st.randoms())
def test_frames_of_two_groups_are_never_neighbours(gaps: list[float], order: object) -> None:
    moments = [sum(gaps[:end]) for end in range(len(gaps))]
    found = [(moment, group) for moment, group in zip(moments, grouped(*moments), strict=True) if group]
    assert len(found) >= 0.9 * len(moments) - 1
    for (one, group), (other, another) in combinations(found, 2):
        assert group == another or other - one >= APART.total_seconds() - 1e-3
        assert group != another or other - one <= LONGEST.total_seconds()


def test_a_run_that_does_not_end_is_cut_and_the_frames_after_the_cut_are_in_no_group() -> None:
    found = grouped(*range(0, 2 * 3600, 2))
    groups = {group for group in found if group}
    assert 4 <= len(groups) <= 8
    assert found.count(None) == 15 * (len(groups) - 1) - (len(groups) - 1)
    assert timedelta(seconds=2) < APART
