"""From the outbox to the broker, oldest first, with many frames under way at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog
from tenacity import RetryCallState

from services.camera.outbox import Outbox, Waiting
from services.camera.pacemaker import Pulse
from services.camera.reporter import Reporter
from shared.imaging.codec import CONTENT_TYPES, SUFFIXES
from shared.messages import IMAGE_LIMIT, CameraState, FrameCaptured, MalformedMessage, decode
from shared.messaging.port import (
    Broker,
    BrokerRefusedLogin,
    BrokerUnavailable,
    MessagingError,
    Publisher,
    PublishRefused,
)
from shared.retry import retrying
from shared.storage.port import ObjectStore, StorageError, StorageRefusedLogin

PATIENCE_SECONDS: Final = 0.2
"""How long the sender waits for something to happen before it looks at the clock."""
LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries while the broker or its queue does not take a frame."""
CONFIRM_SECONDS: Final = 30.0
"""A confirm that takes longer does not come any more: a new connection may do better."""
WINDOW_BYTES: Final = 16 * 1024**2
FAREWELL_SECONDS: Final = 3.0
"""How long the last report may take."""

TROUBLE: Final = (MessagingError, StorageError)
"""With the broker or the object storage: frames wait in the outbox meanwhile."""
PASSING: Final = (PublishRefused, BrokerUnavailable, StorageError)
"""What the same publisher gets over by itself."""

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Abandoned(Exception):
    """The time for sending is over; what waits, waits on the disk for the next start."""


class ConfirmMissing(MessagingError):
    """The broker neither confirms nor refuses."""


@dataclass(frozen=True, eq=False)
class UnderWay:
    """A frame that was handed to the broker."""

    frame: Waiting
    confirmed: Future[None]
    since: float

    def settle(self) -> bool:
        """Wait a moment for the confirm; whether it, or a failure, has come.

        Raises:
            ConfirmMissing: it does not come any more.
        """
        settled = bool(wait([self.confirmed], PATIENCE_SECONDS).done)
        if not settled and time.monotonic() - self.since > CONFIRM_SECONDS:
            raise ConfirmMissing(f"the broker has not confirmed a frame for {CONFIRM_SECONDS:.0f} seconds")
        return settled


class Sender:
    """Sends in a thread of its own, so that a broker that is away stops neither the camera nor its loop.

    After a failure it sends the oldest frame alone until that is taken, and then opens the window again, doubling it
    with each confirm: a full queue is not flooded with frames that it will refuse.
    """

    def __init__(
        self, outbox: Outbox, store: ObjectStore, reporter: Reporter, connect: Callable[[], Broker], window: int
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._reporter = reporter
        self._connect = connect
        self._window = window
        self._allowed = 1
        self._position = 0
        self._under_way: deque[UnderWay] = deque()
        self._behind = False
        self._heard_at = time.monotonic()
        self._ending = threading.Event()
        self._abandoned = threading.Event()
        self._farewell = (CameraState.FINISHED, "")
        self._failure: BaseException | None = None
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin to send. A broker that is away is waited for.

        Raises:
            MessagingError: the broker is there and can't be used.
        """
        try:
            self._open()
        except BrokerUnavailable as error:
            log.warning("the broker is away; frames wait in the outbox", reason=str(error))
            self._behind = True
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the sender, if something did."""
        if self._failure:
            raise self._failure

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """What keeps frames from being sent. A broker that is away is no trouble, and neither is a full queue."""
        silence = time.monotonic() - self._heard_at
        stands = silence > silence_seconds and self._outbox.waiting
        return [
            *(self._broker.troubles(silence_seconds) if self._broker else []),
            *([f"the sender failed: {self._failure!r}"] if self._failure else []),
            *([f"frames wait, and the broker has said nothing for {silence:.0f} s"] if stands else []),
        ]

    def send_what_waits(self, pulse: Pulse, seconds: float, reason: str) -> None:
        """Send for a while what an earlier run left, although no frame comes: the source can't be opened."""
        if self._outbox.waiting:
            with suppress(MessagingError):
                self.start()
                self.finish(pulse, seconds, CameraState.FAILED, reason)

    def finish(self, pulse: Pulse, drain_seconds: float, state: CameraState, reason: str = "") -> None:
        """Send what waits, then the last report.

        Waits as long as it takes; once the service is to stop, or when it failed, ``drain_seconds`` at most.
        """
        self._farewell = (state, reason)
        self._ending.set()
        while self._thread.is_alive() and state is not CameraState.FAILED and pulse.beat():
            self._thread.join(PATIENCE_SECONDS)
        self._join(pulse, drain_seconds)
        self._abandoned.set()
        self._join(pulse, 2 * FAREWELL_SECONDS)
        self.check()
        if waiting := self._outbox.waiting:
            log.warning("frames wait in the outbox for the next start", waiting=waiting)

    def _join(self, pulse: Pulse, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:
            pulse.beat()
            self._thread.join(PATIENCE_SECONDS)

    # ── in the sender's thread ───────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            with suppress(Abandoned):
                if self._publisher is None:
                    self._patiently(self._open)
                while not self._done():
                    self._turn()
            self._say_farewell()
        except BaseException as error:  # noqa: BLE001 - the camera's loop raises it
            self._failure = error
        finally:
            if self._broker:
                self._broker.close()

    def _open(self) -> Publisher:
        self._broker = self._broker or self._connect()
        self._publisher = self._broker.publisher()
        return self._publisher

    def _done(self) -> bool:
        self._go_on()
        return self._ending.is_set() and not self._under_way and not self._outbox.waiting

    def _turn(self) -> None:
        if not self._outbox.waiting:
            self._hear()
        try:
            publisher = self._publisher or self._open()
            self._report_if_due(publisher)
            self._collect()
            self._fill(publisher)
            self._say_when_caught_up()
            if self._under_way:
                self._under_way[0].settle()
            else:
                self._outbox.wait_for_frames(self._position, PATIENCE_SECONDS)
        except TROUBLE as trouble:
            self._begin_again(trouble)

    def _collect(self) -> None:
        """Forget the frames that are confirmed.

        Raises:
            MessagingError: one of the others failed.
        """
        done: list[UnderWay] = []
        unsettled: deque[UnderWay] = deque()
        for sent in self._under_way:  # each is asked once: the broker's thread may settle it at any moment
            (done if sent.confirmed.done() else unsettled).append(sent)
        if not done:
            return
        self._hear()
        self._under_way = unsettled
        failures = {sent: failure for sent in done if (failure := sent.confirmed.exception())}
        confirmed = [sent.frame for sent in done if sent not in failures]
        self._outbox.confirm(confirmed)
        self._allowed = min(self._window, self._allowed + len(confirmed))
        for failure in failures.values():
            raise failure

    def _fill(self, publisher: Publisher) -> None:
        while self._has_room() and (frame := self._outbox.after(self._position)):
            if message := self._message(frame):
                self._under_way.append(UnderWay(frame, publisher.publish(message), time.monotonic()))
            self._position = frame.position

    def _has_room(self) -> bool:
        size = sum(len(sent.frame.body) for sent in self._under_way)
        return len(self._under_way) < self._allowed and size < WINDOW_BYTES

    def _hear(self, trouble: BaseException | None = None) -> None:
        """Remember when the broker said something, or could not be reached. A missing confirm is neither."""
        if not isinstance(trouble, ConfirmMissing):
            self._heard_at = time.monotonic()

    def _begin_again(self, trouble: Exception) -> None:
        """Hear what became of everything under way, then send the oldest frame until it is taken."""
        if not self._behind:
            log.warning("frames wait in the outbox", reason=str(trouble))
            self._behind = True
        self._hear_out(trouble)
        self._position = 0
        self._allowed = 1
        self._patiently(self._send_oldest)

    def _say_when_caught_up(self) -> None:
        if self._behind and not self._outbox.waiting:
            log.info("the outbox has caught up")
            self._behind = False

    def _hear_out(self, trouble: Exception) -> None:
        while self._under_way and not isinstance(trouble, ConfirmMissing):
            self._go_on()
            try:
                self._under_way[0].settle()
                self._collect()
            except MessagingError as another:
                trouble = another
        self._under_way.clear()
        if not isinstance(trouble, PASSING):
            self._drop_publisher()

    def _send_oldest(self) -> None:
        publisher = self._publisher or self._open()
        self._report_if_due(publisher)
        frame = self._outbox.after(0)
        if not frame or not (message := self._message(frame)):
            return
        sent = UnderWay(frame, publisher.publish(message), time.monotonic())
        try:
            while not sent.settle():
                self._go_on()
            sent.confirmed.result()
        except MessagingError as error:
            if not isinstance(error, PASSING):
                self._drop_publisher()
            raise
        self._outbox.confirm([frame])

    def _go_on(self) -> None:
        if self._abandoned.is_set():
            raise Abandoned

    def _drop_publisher(self) -> None:
        """One that gave up, after a refused login say, does not try again: the next one may succeed."""
        if self._publisher:
            self._publisher.close()
        self._publisher = None

    def _message(self, frame: Waiting) -> FrameCaptured | None:
        """The frame as it travels: a large image goes to object storage first."""
        try:
            message = decode(frame.body)
        except MalformedMessage as error:
            self._outbox.set_aside(frame, str(error))
            return None
        if not isinstance(message, FrameCaptured):
            self._outbox.set_aside(frame, f"it is no frame, but {type(message).__name__}")
            return None
        if len(message.image) <= IMAGE_LIMIT:
            return message
        key = f"{message.frame.storage_key}/captured.{SUFFIXES[message.encoding]}"
        self._store.put(key, message.image, CONTENT_TYPES[message.encoding])
        return message.model_copy(update={"image": b"", "image_key": key})

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        """Try until it succeeds or the time for sending is over."""
        try:
            pauses = {"shortest": 0.1, "longest": LONGEST_PAUSE}
            return retrying(self._abandoned, TROUBLE, **pauses, before_pause=self._tell)(attempt)
        except TROUBLE:
            raise Abandoned from None

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._hear(error)
        # a server that refuses the login won't change its mind: people have to know
        if state.attempt_number == 1 and isinstance(error, BrokerRefusedLogin | StorageRefusedLogin):
            log.error("frames wait until the login is put right", reason=str(error))

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _report_if_due(self, publisher: Publisher) -> None:
        """Nobody waits for a report: one that is lost is followed by another."""
        if not self._reporter.due():
            return
        self._report_ended_sessions(publisher)
        publisher.publish(self._reporter.report())

    def _report_ended_sessions(self, publisher: Publisher) -> None:
        for session, counts in self._outbox.ended_sessions().items():
            told = publisher.publish(self._reporter.end_of(session, counts))
            told.add_done_callback(partial(self._forget, session))

    def _forget(self, session: str, told: Future[None]) -> None:
        if told.exception() is None:
            self._outbox.forget(session)

    def _say_farewell(self) -> None:
        """The last report; a later run says it if this one can't."""
        self._reporter.tell(*self._farewell)
        if self._publisher is None:
            return
        self._report_ended_sessions(self._publisher)
        report = self._reporter.report()
        told = self._publisher.publish(report)
        with suppress(MessagingError, TimeoutError):
            told.result(FAREWELL_SECONDS)
            if not report.waiting:
                self._outbox.forget(report.session)
