"""The archive: every message that the projection is made of, in segments in object storage.

A segment is the messages as they travelled, each with its sender, one per line, gzipped:
``verdicts/<day>/<HHMM>-<ulid>.jsonl.gz``, by the time of writing (UTC). A message may be in it twice; reading it twice
changes nothing.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from tenacity import RetryCallState
from ulid import ULID

from shared.messages import LINE_LIMIT, MalformedMessage, Message, decode
from shared.retry import retrying
from shared.storage.port import ObjectStore, StorageUnavailable

FOLDER: Final = "verdicts"
CONTENT_TYPE: Final = "application/gzip"
MOST_IN_SEGMENT: Final = 10_000
"""Messages; reached only when the storage was away for a while."""
LONGEST_PAUSE: Final = 5.0
LONGEST_LINE: Final = 4 * LINE_LIMIT
"""Bytes of a line that is unpacked: a message may be written at greater length than it came."""
LAST_SECONDS: Final = 1.0
"""At the end, for a write that was told to give up."""

SEGMENTS: Final = Counter("dashboard_segments", "Segments of the archive written")
FAILURES: Final = Counter("dashboard_segment_failures", "Tries to write a segment that failed")
WAITING: Final = Gauge("dashboard_archive_waiting", "Messages counted and not yet in a segment")

_log = structlog.stdlib.get_logger("archive")


class DamagedSegment(Exception):
    """A segment that can't be read to its end."""


@dataclass
class _Open:
    """The messages of the next segment, and who waits for it."""

    lines: list[bytes] = field(default_factory=list)
    waiting: list[tuple[int, Future[None]]] = field(default_factory=list)
    """How many lines there were with each, and its future."""
    batches: list[str] = field(default_factory=list)
    """The name of the batch of each of them."""
    since: float = 0.0


class Archive:
    """Writes segments in a thread of its own, one after the other."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        seconds: float,
        messages: int,
        written: Callable[[str, Sequence[str]], None] = lambda _segment, _batches: None,
    ) -> None:
        """Start the thread.

        Args:
            store: where the segments go.
            seconds: a segment is closed so long after its first message,
            messages: or when it holds so many.
            written: is told the key of each segment that was written, and the names of its batches.
        """
        self._written = written
        self._store = store
        self._seconds = seconds
        self._messages = messages
        self._open = _Open()
        self._change = threading.Condition()
        self._hurry = False
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_segments, name="archive", daemon=True)
        self._thread.start()

    def keep(self, messages: Sequence[Message], batch: str = "", senders: Sequence[str] = ()) -> Future[None]:
        """Take the messages of a batch in; the future is done when they are in object storage.

        ``senders``: who published each of them, as the broker has checked.

        While the storage is away the future waits. It fails with `StorageUnavailable` when the archive is closed before
        the storage is back, and with another error when no later try would help.
        """
        future: Future[None] = Future()
        with self._change:
            if self._closed:
                future.set_exception(StorageUnavailable("the archive is closed"))
                return future
            if not self._open.lines:
                self._open.since = time.monotonic()
            self._open.lines.extend(map(_line, messages, senders or [""] * len(messages)))
            self._open.waiting.append((len(self._open.lines), future))
            self._open.batches.append(batch)
            WAITING.inc(len(messages))
            self._change.notify()
        return future

    def hurry(self) -> None:
        """Write what there is now."""
        with self._change:
            self._hurry = True
            self._change.notify()

    def close(self, patience: float = 5.0) -> None:
        """Write what there is, trying for ``patience`` seconds; a write that hangs even then is left behind."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(patience)
        self._stop.set()
        self._thread.join(LAST_SECONDS)

    def _write_segments(self) -> None:
        while (segment := self._next_segment()) is not None:
            try:
                self._write(segment)
            except Exception as error:  # noqa: BLE001  whoever waits for the future decides
                self._settle(segment, error)
            else:
                self._settle(segment, None)

    def _next_segment(self) -> _Open | None:
        """Wait until there is one to write; None when the archive is closed and empty."""
        with self._change:
            while not self._due():
                if self._closed and not self._open.lines:
                    return None
                left = self._seconds - (time.monotonic() - self._open.since) if self._open.lines else None
                self._change.wait(left)
            return self._cut()

    def _due(self) -> bool:
        if not self._open.lines:
            return False
        old = time.monotonic() - self._open.since >= self._seconds
        return old or self._hurry or self._closed or len(self._open.lines) >= self._messages

    def _cut(self) -> _Open:
        """Take the open segment, at most `MOST_IN_SEGMENT` of its lines."""
        whole, self._hurry = self._open, False
        cut = next((count for count, _ in whole.waiting if count >= MOST_IN_SEGMENT), len(whole.lines))
        waiting = [wait for wait in whole.waiting if wait[0] <= cut]
        segment = _Open(whole.lines[:cut], waiting, whole.batches[: len(waiting)], whole.since)
        left = [(count - cut, future) for count, future in whole.waiting if count > cut]
        self._open = _Open(whole.lines[cut:], left, whole.batches[len(waiting) :], whole.since)
        return segment

    def _write(self, segment: _Open) -> None:
        content = gzip.compress(b"".join(segment.lines), compresslevel=6)
        key = f"{FOLDER}/{datetime.now(UTC):%Y-%m-%d/%H%M}-{ULID()}.jsonl.gz"
        put = retrying(self._stop, StorageUnavailable, longest=LONGEST_PAUSE, before_pause=_tell)
        put(self._store.put, key, content, CONTENT_TYPE)
        self._written(key, segment.batches)
        SEGMENTS.inc()

    def _settle(self, segment: _Open, error: Exception | None) -> None:
        WAITING.dec(len(segment.lines))
        for _, future in segment.waiting:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def segments(store: ObjectStore, prefix: str = f"{FOLDER}/") -> list[str]:
    """The keys of the segments, oldest first."""
    return sorted(store.keys(prefix))


def read_segment(store: ObjectStore, key: str) -> Iterator[Message]:
    """The messages of a segment; lines that this build can't read are passed over, with a warning.

    Raises:
        DamagedSegment: it is not whole.
        StorageError: of the storage itself.
    """
    for line in lines_of(store, key):
        try:
            yield decode(line)
        except MalformedMessage as error:
            _log.warning("passed over a line of the archive", segment=key, reason=str(error))


def lines_of(store: ObjectStore, key: str) -> Iterator[bytes]:
    """The lines of a segment as they travelled, each with its newline.

    Raises:
        DamagedSegment: it is not whole.
        StorageError: of the storage itself.
    """
    content = store.get(key)
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as lines:
            while line := lines.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise DamagedSegment(f"{key}: a line of more than {LONGEST_LINE:,} bytes, which is no message")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedSegment(f"{key}: {error}: restore it from a backup, or delete it to do without") from error


def merge(
    store: ObjectStore,
    keys: Sequence[str],
    into: str,
    about_to: Callable[[Sequence[str], str], None] = lambda _keys, _into: None,
) -> None:
    """Make one segment of several, each line once; then the several are gone. Interrupted, both may be there.

    Args:
        store: has the segments.
        keys: of the several.
        into: key of the one.
        about_to: is told both just before the one is written.

    Raises:
        DamagedSegment, StorageError: nothing was deleted.
    """
    seen, content = set[bytes](), BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=6) as merged:
        for key in keys:
            for line in lines_of(store, key):
                digest = blake2b(line, digest_size=16).digest()
                if digest not in seen:
                    seen.add(digest)
                    merged.write(line)
    about_to(keys, into)
    store.put(into, content.getvalue(), CONTENT_TYPE)
    for key in keys:
        store.delete(key)


def _line(message: Message, sender: str) -> bytes:
    """A message as it travels, with its sender as one more field, which readers of messages pass over."""
    line = message.encode()
    return b'{"sender":%s,%s' % (json.dumps(sender).encode(), line[1:]) if sender else line


def _tell(state: RetryCallState) -> None:
    FAILURES.inc()
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        _log.warning("the archive can't be written; counting goes on, trying again", reason=str(error))
