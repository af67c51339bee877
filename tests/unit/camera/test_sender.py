"""The camera's sender, with a broker whose confirms come at the worst moment."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.camera import sender as module
from services.camera.frame_identity import Session
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.reporter import CameraReporter
from services.camera.sender import Sender
from shared.health import Health
from shared.messages import CameraState, FrameCaptured, FrameIdentity, Message, decode, frame_id
from shared.messaging.port import BrokerUnavailable, EncodedMessage, PublishRefused
from shared.storage.filesystem import FilesystemStore
from tests.processes import wait_until

FRAMES = 12
LATE = 5
"""The frame whose confirm comes while the sender looks."""


class LateFuture(Future[None]):
    """A future that is settled by another thread right after the sender has looked at it for the first time."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()
        self._failure = failure
        self._looked = False

    def done(self) -> bool:
        was_done = super().done()
        if not self._looked:
            self._looked = True
            settling = threading.Thread(target=self._settle)
            settling.start()
            settling.join()
        return was_done

    def _settle(self) -> None:
        if self._failure:
            self.set_exception(self._failure)
        else:
            self.set_result(None)


class Confirming:
    """A broker that confirms each message at once, and one frame late."""

    def __init__(self, late: Callable[[], Future[None]]) -> None:
        self._late = late
        self.frames: list[int] = []

    def publisher(self) -> Confirming:
        return self

    def publish(self, published: Message | EncodedMessage) -> Future[None]:
        message = decode(published.body) if isinstance(published, EncodedMessage) else published
        if isinstance(message, FrameCaptured):
            self.frames.append(message.frame.sequence)
            if self.frames.count(LATE) == 1 and message.frame.sequence == LATE:
                return self._late()
        confirmed: Future[None] = Future()
        confirmed.set_result(None)
        return confirmed

    def troubles(self, _silence_seconds: float) -> list[str]:
        return []

    def close(self) -> None: ...


@pytest.fixture
def session() -> Session:
    return Session("line", "camera")


@pytest.fixture
def outbox(tmp_path: Path, session: Session) -> Iterator[Outbox]:
    with Outbox(tmp_path / "o.sqlite", session.id, frames_limit=100, bytes_limit=10**9) as opened:
        for sequence in range(FRAMES):
            opened.add(_frame(session.id, sequence))
        yield opened


def _frame(session: str, sequence: int) -> FrameCaptured:
    identity = FrameIdentity(
        frame_id=frame_id(session, sequence), line="line", camera="camera", captured_at=datetime.now(UTC)
    )
    return FrameCaptured(frame=identity, encoding="jpeg", width=1, height=1, image=b"x" * 100)


def _sender(tmp_path: Path, session: Session, outbox: Outbox, broker: Confirming) -> Sender:
    reporter = CameraReporter(session, outbox, every_seconds=60)
    return Sender(outbox, FilesystemStore(tmp_path / "objects"), reporter, lambda: broker, window=8)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("failure", [None, PublishRefused("the queue is full")], ids=["confirmed", "refused"])
def test_a_frame_settled_while_the_sender_looks_is_not_forgotten(
    tmp_path: Path, session: Session, outbox: Outbox, failure: Exception | None
) -> None:
    broker = Confirming(lambda: LateFuture(failure))
    sender = _sender(tmp_path, session, outbox, broker)
    sender.start()
    wait_until(lambda: outbox.waiting == 0, 120, "every frame to be confirmed")
    sender.finish(Heartbeat(threading.Event(), Health()), 5, CameraState.FINISHED)
    assert broker.frames.count(LATE) == (1 if failure is None else 2)
    assert sorted(set(broker.frames)) == list(range(FRAMES))


class Mute(Confirming):
    """A broker that takes frames and says nothing."""

    def publish(self, published: Message | EncodedMessage) -> Future[None]:
        return Future() if isinstance(published, EncodedMessage) else super().publish(published)


def test_frames_that_wait_for_a_mute_broker_are_reported_and_for_an_absent_one_not(
    tmp_path: Path, session: Session, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Mute(Future)
    sender = _sender(tmp_path, session, outbox, broker)
    assert sender.troubles(60) == []
    sender.start()
    wait_until(lambda: sender.troubles(0.5) != [], 120, "the silence to be told")
    assert "the broker has said nothing for" in sender.troubles(0.5)[0]

    def away() -> Mute:
        raise BrokerUnavailable("connection refused")

    monkeypatch.setattr(broker, "publisher", away)
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.2)
    wait_until(lambda: sender.troubles(2) == [], 120, "the broker to be found absent")
    sender.finish(Heartbeat(threading.Event(), Health()), 0, CameraState.FAILED)


def test_a_sender_that_fails_ends_a_camera_that_has_no_image(
    tmp_path: Path, session: Session, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "confirm", _fail)
    sender = _sender(tmp_path, session, outbox, Confirming(Future))
    sender.start()
    heartbeat = Heartbeat(threading.Event(), Health(), sender.check)
    with pytest.raises(RuntimeError, match="a defect"):
        heartbeat.wait(120)
    assert "a defect" in sender.troubles(60)[0]


def _fail(_frames: object) -> None:
    raise RuntimeError("a defect")


def test_a_damaged_frame_stays_on_the_disk_and_the_others_are_sent(
    tmp_path: Path, session: Session, outbox: Outbox
) -> None:
    with sqlite3.connect(tmp_path / "o.sqlite") as disk:
        disk.execute("UPDATE frames SET body = zeroblob(length(body)) WHERE position = 2")
    broker = Confirming(lambda: LateFuture(None))
    sender = _sender(tmp_path, session, outbox, broker)
    sender.start()
    wait_until(lambda: outbox.waiting == 0, 120, "the other frames to be confirmed")
    sender.finish(Heartbeat(threading.Event(), Health()), 5, CameraState.FINISHED)
    assert sorted(set(broker.frames)) == [0, *range(2, FRAMES)]
    assert outbox.counts().dropped == 1
