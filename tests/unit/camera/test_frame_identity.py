from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.camera.frame_identity import Session, SessionFull
from shared.messages import SEQUENCE_LIMIT

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_frames_are_numbered_from_zero_without_gaps() -> None:
    session = Session("line-1", "camera-1", batch="b7")
    frames = [session.next_identity(NOW) for _ in range(3)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert {frame.session for frame in frames} == {session.id}
    assert {(frame.line, frame.camera, frame.batch, frame.part) for frame in frames} == {
        ("line-1", "camera-1", "b7", None)
    }


def test_two_sessions_share_no_frame() -> None:
    assert Session("l", "c").next_identity(NOW).frame_id != Session("l", "c").next_identity(NOW).frame_id


def test_a_part_is_a_part_until_it_is_counted() -> None:
    session = Session("l", "c", part="shirt")
    assert [session.next_identity(NOW).part for _ in range(2)] == ["shirt", "shirt"]


def test_a_new_part_begins_after_a_number_of_frames() -> None:
    session = Session("l", "c", part="shirt", frames_per_part=2)
    parts = [session.next_identity(NOW).part for _ in range(5)]
    assert [str(part)[-7:] for part in parts] == ["-000001", "-000001", "-000002", "-000002", "-000003"]
    assert all(str(part).startswith("shirt-2") for part in parts)


def test_a_session_that_has_used_up_its_numbers_says_so() -> None:
    session = Session("l", "c")
    session.frame_count = SEQUENCE_LIMIT + 1
    with pytest.raises(SessionFull, match="start the camera again"):
        session.next_identity(NOW)
