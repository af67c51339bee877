"""What the verdicts on its frames mean for a part."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.rule import rule
from shared.messages import FrameInspected
from tests.parts import plan, verdict


def frames(said: str, **frame: Any) -> list[FrameInspected]:
    """One frame per letter: o is ok, n is NG, e is an error."""
    words = {"o": "ok", "n": "ng", "e": "error"}
    return [verdict(number, words[letter], **frame) for number, letter in enumerate(said)]


@pytest.mark.parametrize(
    ("parts", "said", "missing", "outcome"),
    [
        ({}, "o", 0, "ok"),
        ({}, "n", 0, "ng"),
        ({}, "e", 0, "not_inspected"),
        ({}, "", 1, "not_inspected"),
        ({"of": "frames", "frames": 3}, "ooo", 0, "ok"),
        ({"of": "frames", "frames": 3}, "ono", 0, "ng"),
        ({"of": "frames", "frames": 3}, "oo", 1, "not_inspected"),
        ({"of": "frames", "frames": 3}, "on", 1, "ng"),
        ({"of": "frames", "frames": 3}, "oeo", 0, "not_inspected"),
        ({"of": "frames", "frames": 4, "rule": "count", "at_least": 2}, "onoo", 0, "ok"),
        ({"of": "frames", "frames": 4, "rule": "count", "at_least": 2}, "onon", 0, "ng"),
        ({"of": "frames", "frames": 4, "rule": "row", "at_least": 2}, "onon", 0, "ok"),
        ({"of": "frames", "frames": 4, "rule": "row", "at_least": 2}, "onno", 0, "ng"),
    ],
)
def test_the_rule_says_when_a_part_is_ng(parts: dict[str, Any], said: str, missing: int, outcome: str) -> None:
    assert rule(plan(**parts), frames(said), missing).verdict == outcome


def test_a_row_is_counted_for_each_camera_in_the_order_of_capture() -> None:
    parts = plan(of="identity", cameras=["front", "back"], frames=2, rule="row", at_least=2)
    front, back = ([verdict(n, camera=camera) for n in range(2)] for camera in ("front", "back"))
    one_each = [verdict(1, "ng", camera="front"), front[0], verdict(0, "ng", camera="back"), back[1]]
    assert rule(parts, one_each, 0).verdict == "ok"
    both_of_one = [verdict(1, "ng", camera="front"), back[0], back[1], verdict(0, "ng", camera="front")]
    assert rule(parts, both_of_one, 0).verdict == "ng"


def test_the_worst_score_of_each_label_decides_by_the_thresholds_of_the_recipe() -> None:
    ruling = rule(plan(of="frames", frames=2, rule="worst"), [verdict(0, defect=0.2), verdict(1, defect=0.7)], 0)
    assert (ruling.verdict, ruling.faults) == ("ng", ("good", "break"))
    assert ruling.scores == pytest.approx({"good": 0.3, "break": 0.7})


def test_one_odd_frame_does_not_move_the_mean_score_over_the_threshold() -> None:
    scores = [verdict(0, defect=0.2), verdict(1, defect=0.7), verdict(2, defect=0.3)]
    ruling = rule(plan(of="frames", frames=3, rule="mean"), scores, 0)
    assert ruling.verdict == "ok"
    assert ruling.scores["break"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("said", "action"), [(None, "reject"), ("reject", "reject"), ("pass", "pass"), ("stop", "stop")]
)
def test_the_recipe_says_what_to_do_with_a_part_that_was_not_inspected(said: str | None, action: str) -> None:
    ruling = rule(plan(**({"not_inspected": said} if said else {})), [], 1)
    assert (ruling.verdict, ruling.action) == ("not_inspected", action)


def test_the_reason_names_the_frames_and_the_labels() -> None:
    assert rule(plan(of="frames", frames=3), frames("nno"), 0).reason == "2 of 3 frames are NG: good, break"
    reason = rule(plan(of="frames", frames=3), frames("oe"), 1).reason
    assert reason == "not inspected: of 3 frames 1 missing or late and 1 unreadable"
