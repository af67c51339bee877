"""Send frames from the outbox to the broker, the oldest first, with many unconfirmed frames at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import structlog
from tenacity import RetryCallState

from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox, OutboxFrame
from services.camera.reporter import CameraReporter
from shared.imaging.codec import CONTENT_TYPES, SUFFIXES
from shared.messages import IMAGE_LIMIT, CameraState, FrameCaptured, MalformedMessage, decode
from shared.messaging.port import (
    Broker,
    BrokerRefusedLogin,
    BrokerUnavailable,
    EncodedMessage,
    MessagingError,
    Publisher,
    PublishRefused,
)
from shared.messaging.traces import publish_stored
from shared.retry import retrying
from shared.storage.port import ObjectStore, StorageError, StorageRefusedLogin

POLL_SECONDS: Final = 0.2
"""Most seconds that the sender waits before it checks whether a report is due or it is to stop."""
LONGEST_PAUSE: Final = 2.0
"""Most seconds between two attempts while the broker or its queue does not take a frame."""
CONFIRM_SECONDS: Final = 30.0
"""Most seconds to wait for a confirm before the sender connects again."""
WINDOW_BYTES: Final = 16 * 1024**2
"""Bytes of unconfirmed frames from which on no further frame is sent."""
LAST_REPORT_SECONDS: Final = 3.0
"""Most seconds to wait for the confirm of the last report."""

RETRIED: Final = (MessagingError, StorageError)
"""Errors of the broker or of object storage, during which frames wait in the outbox."""
TEMPORARY: Final = (PublishRefused, BrokerUnavailable, StorageError)
"""Errors after which the same publisher is used again."""

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Abandoned(Exception):
    """The time for sending is over; the remaining frames stay in the outbox until the next start."""


class ConfirmMissing(MessagingError):
    """The broker neither confirms nor refuses a frame."""


@dataclass(frozen=True, eq=False)
class InFlight:
    """A frame that was sent to the broker and is not confirmed yet."""

    frame: OutboxFrame
    confirmed: Future[None]
    since: float
    """When the frame was sent, in seconds of the steady clock."""

    def wait_briefly(self) -> bool:
        """Wait `POLL_SECONDS` at most, and return whether the broker has confirmed or refused the frame.

        Raises:
            ConfirmMissing: neither has happened within `CONFIRM_SECONDS`.
        """
        settled = bool(wait([self.confirmed], POLL_SECONDS).done)
        if not settled and time.monotonic() - self.since > CONFIRM_SECONDS:
            raise ConfirmMissing(f"the broker has not confirmed a frame for {CONFIRM_SECONDS:.0f} seconds")
        return settled


class Sender:
    """Sends frames in a thread, so that an unavailable broker does not stop the capture loop.

    After a failure, the sender sends only the oldest frame until the broker confirms it. Then the number of frames that
    may be unconfirmed grows by one with each confirm, up to ``window``, so that a full queue gets few frames.
    """

    def __init__(
        self, outbox: Outbox, store: ObjectStore, reporter: CameraReporter, connect: Callable[[], Broker], window: int
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._reporter = reporter
        self._connect = connect
        self._window = window
        self._allowed = 1
        self._position = 0
        self._in_flight: deque[InFlight] = deque()
        self._is_behind = False
        self._last_answer = time.monotonic()
        self._finishing = threading.Event()
        self._abandoned = threading.Event()
        self._last_state = (CameraState.FINISHED, "")
        self._failure: BaseException | None = None
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Start the thread; if the broker is unavailable, frames wait in the outbox.

        Raises:
            MessagingError: the broker answers but can't be used.
        """
        try:
            self._open_publisher()
        except BrokerUnavailable as error:
            log.warning("the broker is unavailable; frames wait in the outbox", reason=str(error))
            self._is_behind = True
        self._thread.start()

    def check(self) -> None:
        """Raise the error that ended the sender, if one did."""
        if self._failure:
            raise self._failure

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """Return why frames are not sent, other than an unavailable broker or a full queue."""
        silence = time.monotonic() - self._last_answer
        stalled = silence > silence_seconds and self._outbox.waiting
        return [
            *(self._broker.troubles(silence_seconds) if self._broker else []),
            *([f"the sender failed: {self._failure!r}"] if self._failure else []),
            *([f"frames wait, and the broker has said nothing for {silence:.0f} s"] if stalled else []),
        ]

    def send_remaining(self, heartbeat: Heartbeat, seconds: float, reason: str) -> None:
        """Send the frames of an earlier run for ``seconds`` at most, because the source can't be opened."""
        if self._outbox.waiting:
            with suppress(MessagingError):
                self.start()
                self.finish(heartbeat, seconds, CameraState.FAILED, reason)

    def finish(self, heartbeat: Heartbeat, drain_seconds: float, state: CameraState, reason: str = "") -> None:
        """Send the waiting frames, then the last report.

        Wait as long as needed; but if the service is to stop, or after a failure, ``drain_seconds`` at most.
        """
        self._last_state = (state, reason)
        self._finishing.set()
        while self._thread.is_alive() and state is not CameraState.FAILED and heartbeat.beat():
            self._thread.join(POLL_SECONDS)
        self._join(heartbeat, drain_seconds)
        self._abandoned.set()
        self._join(heartbeat, 2 * LAST_REPORT_SECONDS)
        self.check()
        if waiting := self._outbox.waiting:
            log.warning("frames wait in the outbox for the next start", waiting=waiting)

    def _join(self, heartbeat: Heartbeat, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:
            heartbeat.beat()
            self._thread.join(POLL_SECONDS)

    # ── in the sender's thread ───────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            with suppress(Abandoned):
                if self._publisher is None:
                    self._retry(self._open_publisher)
                while self._outbox.waiting or self._in_flight or not self._finishing.is_set():
                    self._check_not_abandoned()
                    self._send_some()
            self._reporter.set_state(*self._last_state)
            if self._publisher:
                self._report_ended_sessions(self._publisher)
                report = self._reporter.report()
                reported = self._publisher.publish(report)
                with suppress(MessagingError, TimeoutError):  # a later run sends it
                    reported.result(LAST_REPORT_SECONDS)
                    if not report.waiting:
                        self._outbox.forget(report.session)
        except BaseException as error:  # noqa: BLE001 - the capture loop raises it
            self._failure = error
        finally:
            if self._broker:
                self._broker.close()

    def _send_some(self) -> None:
        """Send as many frames as may be unconfirmed, then wait briefly for a confirm or a new frame."""
        if not self._outbox.waiting:
            self._note_answer()
        try:
            publisher = self._publisher or self._open_publisher()
            self._report_if_due(publisher)
            self._collect_confirms()
            while len(self._in_flight) < self._allowed:
                if sum(len(sent.frame.message.body) for sent in self._in_flight) >= WINDOW_BYTES:
                    break
                frame = self._outbox.after(self._position)
                if frame is None:
                    break
                if message := self._message(frame):
                    self._in_flight.append(InFlight(frame, publish_stored(publisher, message), time.monotonic()))
                self._position = frame.position
            if self._is_behind and not self._outbox.waiting:
                log.info("the outbox has caught up")
                self._is_behind = False
            if self._in_flight:
                self._in_flight[0].wait_briefly()
            else:
                self._outbox.wait_for_frames(self._position, POLL_SECONDS)
        except RETRIED as error:
            self._start_again(error)

    def _collect_confirms(self) -> None:
        """Delete the confirmed frames from the outbox.

        Raises:
            MessagingError: the broker refused a frame.
        """
        done: list[InFlight] = []
        unsettled: deque[InFlight] = deque()
        for sent in self._in_flight:  # `done` is called once per frame, because its result may change at any moment
            (done if sent.confirmed.done() else unsettled).append(sent)
        if not done:
            return
        self._note_answer()
        self._in_flight = unsettled
        failures = {sent: failure for sent in done if (failure := sent.confirmed.exception())}
        confirmed = [sent.frame for sent in done if sent not in failures]
        self._outbox.confirm(confirmed)
        self._allowed = min(self._window, self._allowed + len(confirmed))
        for failure in failures.values():
            raise failure

    def _note_answer(self, error: BaseException | None = None) -> None:
        """Note that the broker has answered or could not be reached. A missing confirm is neither."""
        if not isinstance(error, ConfirmMissing):
            self._last_answer = time.monotonic()

    def _start_again(self, error: Exception) -> None:
        """Wait for the outcome of all unconfirmed frames, then send the oldest frame until the broker confirms it."""
        if not self._is_behind:
            log.warning("frames wait in the outbox", reason=str(error))
            self._is_behind = True
        while self._in_flight and not isinstance(error, ConfirmMissing):
            self._check_not_abandoned()
            try:
                self._in_flight[0].wait_briefly()
                self._collect_confirms()
            except MessagingError as later_error:
                error = later_error
        self._in_flight.clear()
        if not isinstance(error, TEMPORARY):
            self._drop_publisher()
        self._position = 0
        self._allowed = 1
        self._retry(self._send_oldest)

    def _send_oldest(self) -> None:
        publisher = self._publisher or self._open_publisher()
        self._report_if_due(publisher)
        frame = self._outbox.after(0)
        if not frame or not (message := self._message(frame)):
            return
        sent = InFlight(frame, publish_stored(publisher, message), time.monotonic())
        try:
            while not sent.wait_briefly():
                self._check_not_abandoned()
            sent.confirmed.result()
        except MessagingError as error:
            if not isinstance(error, TEMPORARY):
                self._drop_publisher()
            raise
        self._outbox.confirm([frame])

    def _check_not_abandoned(self) -> None:
        if self._abandoned.is_set():
            raise Abandoned

    def _open_publisher(self) -> Publisher:
        self._broker = self._broker or self._connect()
        self._publisher = self._broker.publisher()
        return self._publisher

    def _drop_publisher(self) -> None:
        """Close the publisher, for example after a refused login; a new publisher may succeed."""
        if self._publisher:
            self._publisher.close()
        self._publisher = None

    def _message(self, frame: OutboxFrame) -> EncodedMessage | None:
        """Return the message to send, with a large image moved to object storage; None if the frame is damaged."""
        if not frame.is_intact:
            self._outbox.set_aside(frame, "its checksum does not match")
            return None
        if len(frame.message.body) <= IMAGE_LIMIT:
            return frame.message
        try:
            message = decode(frame.message.body)
        except MalformedMessage as error:
            self._outbox.set_aside(frame, str(error))
            return None
        if not isinstance(message, FrameCaptured) or len(message.image) <= IMAGE_LIMIT:
            return frame.message
        name = f"captured.{message.frame.frame_id}" if message.of_check else "captured"
        key = f"{message.frame.storage_key}/{name}.{SUFFIXES[message.encoding]}"
        self._store.put(key, message.image, CONTENT_TYPES[message.encoding])
        smaller = EncodedMessage.of(message.model_copy(update={"image": b"", "image_key": key}))
        return replace(smaller, headers=frame.message.headers)

    def _retry(self, attempt: Callable[[], Result]) -> Result:
        """Call ``attempt`` until it succeeds or the time for sending is over."""

        def before_pause(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._note_answer(error)
            # a person has to correct a refused login
            if state.attempt_number == 1 and isinstance(error, BrokerRefusedLogin | StorageRefusedLogin):
                log.error("frames wait until the login is corrected", reason=str(error))

        try:
            pauses = {"shortest": 0.1, "longest": LONGEST_PAUSE}
            return retrying(self._abandoned, RETRIED, **pauses, before_pause=before_pause)(attempt)
        except RETRIED:
            raise Abandoned from None

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _report_if_due(self, publisher: Publisher) -> None:
        """Publish a report if one is due, without waiting for its confirm."""
        if self._reporter.due():
            self._report_ended_sessions(publisher)
            publisher.publish(self._reporter.report())

    def _report_ended_sessions(self, publisher: Publisher) -> None:
        for session, counts in self._outbox.ended_sessions().items():

            def forget(reported: Future[None], session: str = session) -> None:
                if reported.exception() is None:
                    self._outbox.forget(session)

            publisher.publish(self._reporter.report_end_of(session, counts)).add_done_callback(forget)
