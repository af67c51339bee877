from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ulid import ULID

from services.camera.errors import CameraError
from services.camera.outbox import Outbox, OutboxFrame, SessionCounts
from shared.messages import FrameCaptured, FrameIdentity, decode, frame_id

Opener = Callable[..., Outbox]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox" / "line.camera.sqlite"


@pytest.fixture
def open_outbox(path: Path) -> Iterator[Opener]:
    opened: list[Outbox] = []

    def open_it(session: str = "", frames_limit: int = 100, bytes_limit: int = 10**9) -> Outbox:
        opened.append(Outbox(path, session or str(ULID()), frames_limit=frames_limit, bytes_limit=bytes_limit))
        return opened[-1]

    yield open_it
    for outbox in opened:
        outbox.__exit__(None, None, None)


def frame(sequence: int = 0, size: int = 100) -> FrameCaptured:
    identity = FrameIdentity(
        frame_id=frame_id(str(ULID()), sequence), line="line", camera="camera", captured_at=datetime.now(UTC)
    )
    return FrameCaptured(frame=identity, encoding="jpeg", width=2, height=2, image=b"x" * size)


def all_of(outbox: Outbox) -> list[OutboxFrame]:
    found: list[OutboxFrame] = []
    while one := outbox.after(found[-1].position if found else 0):
        found.append(one)
    return found


def test_frames_come_out_in_the_order_of_their_capture(open_outbox: Opener) -> None:
    outbox = open_outbox()
    frames = [frame(number) for number in range(5)]
    assert all(outbox.add(one) for one in frames)
    assert [decode(one.message.body) for one in all_of(outbox)] == frames


def test_a_confirmed_frame_is_gone_and_an_unconfirmed_one_stays(open_outbox: Opener) -> None:
    outbox = open_outbox()
    for number in range(3):
        outbox.add(frame(number))
    first, second, third = all_of(outbox)
    outbox.confirm([first, third])
    assert [one.position for one in all_of(outbox)] == [second.position]
    assert outbox.counts() == SessionCounts(captured=3, dropped=0, waiting=1)


def test_frames_of_an_earlier_run_come_first(open_outbox: Opener) -> None:
    earlier = open_outbox("first")
    left = [frame(number) for number in range(3)]
    for one in left:
        earlier.add(one)
    earlier.__exit__(None, None, None)
    outbox = open_outbox("second")
    new = frame(0)
    outbox.add(new)
    assert [decode(one.message.body) for one in all_of(outbox)] == [*left, new]
    assert outbox.counts() == SessionCounts(captured=1, dropped=0, waiting=1)
    assert outbox.waiting == 4


def test_the_end_of_an_earlier_run_is_reported_when_its_last_frame_is_confirmed(open_outbox: Opener) -> None:
    earlier = open_outbox("first", frames_limit=2)
    for number in range(3):
        earlier.add(frame(number))
    earlier.__exit__(None, None, None)
    outbox = open_outbox("second")
    assert outbox.ended_sessions() == {}
    outbox.confirm(all_of(outbox))
    assert outbox.ended_sessions() == {"first": SessionCounts(captured=3, dropped=1, waiting=0)}
    outbox.forget("first")
    assert outbox.ended_sessions() == {}


@pytest.mark.parametrize("limits", [{"frames_limit": 2}, {"bytes_limit": 1200}])
def test_beyond_the_limit_frames_are_dropped_and_counted(open_outbox: Opener, limits: dict[str, int]) -> None:
    outbox = open_outbox(**limits)
    assert [outbox.add(frame(number, size=200)) for number in range(4)] == [True, True, False, False]
    assert outbox.counts() == SessionCounts(captured=4, dropped=2, waiting=2)
    outbox.confirm(all_of(outbox))
    assert outbox.add(frame(4))
    assert outbox.counts() == SessionCounts(captured=5, dropped=2, waiting=1)


def test_a_frame_that_a_full_disk_does_not_take_is_dropped_and_the_camera_goes_on(
    open_outbox: Opener, path: Path
) -> None:
    outbox = open_outbox("first")
    database = outbox._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 10}")
    assert outbox.add(frame(0, size=1000))
    assert not outbox.add(frame(1, size=100_000))
    assert outbox.counts() == SessionCounts(captured=2, dropped=1, waiting=1)
    assert outbox.add(frame(2, size=1000))
    assert [one.position for one in all_of(outbox)] == [1, 2]


def test_a_confirmed_frame_that_a_full_disk_does_not_let_go_is_not_sent_again(open_outbox: Opener) -> None:
    outbox = open_outbox()
    for number in range(3):
        outbox.add(frame(number))
    first, second, third = all_of(outbox)
    outbox._database.execute("PRAGMA query_only = ON")
    outbox.confirm([first, second])
    assert [one.position for one in all_of(outbox)] == [third.position]
    assert outbox.counts() == SessionCounts(captured=3, dropped=0, waiting=1)
    outbox._database.execute("PRAGMA query_only = OFF")
    outbox.confirm([third])
    assert not outbox.wait_for_frames(0, 0)
    assert outbox._database.execute("SELECT count(*) FROM frames").fetchone() == (0,)


def test_dropped_frames_are_counted_across_a_crash(open_outbox: Opener, path: Path) -> None:
    earlier = open_outbox("first")
    earlier.drop("too broken to keep")
    earlier.__exit__(None, None, None)
    assert open_outbox("second").ended_sessions() == {"first": SessionCounts(captured=1, dropped=1, waiting=0)}


def test_a_frame_that_cant_be_read_back_stays_and_lets_the_others_pass(open_outbox: Opener, path: Path) -> None:
    outbox = open_outbox("first")
    outbox.add(frame(0))
    outbox.add(frame(1))
    broken, good = all_of(outbox)
    outbox.set_aside(broken, "of an unknown version")
    assert [one.position for one in all_of(outbox)] == [good.position]
    assert outbox.counts() == SessionCounts(captured=2, dropped=1, waiting=1)
    rows = sqlite3.connect(path).execute("SELECT position, broken FROM frames WHERE broken IS NOT NULL").fetchall()
    assert rows == [(broken.position, "of an unknown version")]


def test_two_cameras_never_share_an_outbox(open_outbox: Opener) -> None:
    open_outbox()
    with pytest.raises(CameraError, match="another camera uses"):
        open_outbox()


def test_a_file_that_is_no_outbox_is_reported_in_one_line(open_outbox: Opener, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(CameraError, match=r"is damaged .*not a database.*move it away"):
        open_outbox()


def test_an_outbox_of_another_version_is_left_alone(open_outbox: Opener, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(CameraError, match="another version"):
        open_outbox()


def test_a_folder_that_cant_be_created_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CameraError, match="CAMERA_OUTBOX_FOLDER"):
        Outbox(tmp_path / "file" / "outbox", "session", frames_limit=1, bytes_limit=1)


def test_a_video_waits_until_the_line_has_taken_its_frames(open_outbox: Opener) -> None:
    outbox = open_outbox()
    for number in range(2):
        outbox.add(frame(number))
    assert not outbox.wait_for_room(2, 0.01)
    confirming = threading.Timer(0.05, lambda: outbox.confirm(all_of(outbox)[:1]))
    confirming.start()
    assert outbox.wait_for_room(2, 60)
    confirming.join()
