"""Which frames of a line come first."""

from __future__ import annotations

from services.dashboard.labelling.suggestions import by_disagreement, by_uncertainty
from tests.labelling import inspected, labels


def numbers(found: list[object]) -> list[int]:
    return [int(each.frame.rpartition("-")[2]) for each in found]  # type: ignore[attr-defined]


def test_the_frame_nearest_to_a_threshold_comes_first() -> None:
    frames = [inspected(1, part="a", error=0.8), inspected(2, part="b", error=0.52), inspected(3, part="c", error=0.4)]
    found = by_uncertainty(frames)
    assert numbers([*found]) == [2, 3, 1]
    assert found[0].reason == "error 0.52, threshold 0.50"


def test_ten_neighbours_of_one_part_give_way_to_the_other_parts() -> None:
    neighbours = [inspected(number, part="a", error=0.5 + number / 1000) for number in range(10)]
    others = [inspected(20, part="b", error=0.7), inspected(21, part="c", error=0.8)]
    assert numbers([*by_uncertainty([*neighbours, *others])])[:3] == [0, 20, 21]


def test_frames_without_a_part_are_neighbours_if_they_were_captured_together() -> None:
    together = [inspected(number, after=0.04 * number, error=0.5 + number / 1000) for number in range(5)]
    later = inspected(9, after=60, error=0.9)
    assert numbers([*by_uncertainty([*together, later])])[:2] == [0, 9]


def test_labels_take_turns() -> None:
    errors = [inspected(number, part=f"e{number}", error=0.5 + number / 1000) for number in range(5)]
    breaks = [inspected(number, part=f"b{number}", **{"break": 0.6 + number / 1000}) for number in range(10, 12)]
    assert numbers([*by_uncertainty([*errors, *breaks])])[:4] == [0, 10, 1, 11]


def test_a_frame_labelled_otherwise_than_inspected_comes_with_the_score_of_the_model() -> None:
    sure = inspected(1, good=0.98)
    doubtful = inspected(2, good=0.6)
    right = inspected(3, good=0.9)
    found = by_disagreement([(doubtful, labels()), (sure, labels("break")), (right, labels("good"))])
    assert numbers([*found]) == [1, 2]
    assert found[1].reason == "good: the model found it present (0.60), a person labelled otherwise"
