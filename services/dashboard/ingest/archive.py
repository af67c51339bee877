"""The archive: segments in object storage with all messages from which the projection is computed.

A segment is a gzipped file with one message per line, each as it was published and with its sender. Its key is
``verdicts/<day>/<HHMM>-<ulid>.jsonl.gz``, with the time of writing (UTC). A message may be in the archive twice;
applying it twice changes nothing.
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
"""Most messages in a segment, except that a batch is not divided. Only reached if storage was unavailable."""
LONGEST_PAUSE: Final = 5.0
"""Most seconds between two attempts to write a segment."""
LONGEST_LINE: Final = 4 * LINE_LIMIT
"""Most bytes of a line that is read. A message may be longer in the archive than it was published."""
LAST_SECONDS: Final = 1.0
"""Most seconds that `Archive.close` waits for a write after it has stopped the attempts."""

SEGMENTS: Final = Counter("dashboard_segments", "Segments of the archive written")
FAILURES: Final = Counter("dashboard_segment_failures", "Attempts to write a segment that failed")
WAITING: Final = Gauge("dashboard_archive_waiting", "Messages applied and not yet in a segment")

_log = structlog.stdlib.get_logger("archive")


class DamagedSegment(Exception):
    """A segment that can't be read to its end."""


@dataclass
class _OpenSegment:
    """The messages of the next segment, and the futures of their batches."""

    lines: list[bytes] = field(default_factory=list)
    futures: list[tuple[int, Future[None]]] = field(default_factory=list)
    """The future of each batch, with the number of lines up to the end of the batch."""
    batches: list[str] = field(default_factory=list)
    """The name of each batch."""
    since: float = 0.0
    """When the first message was added, in seconds of the steady clock."""


class Archive:
    """Writes segments in a thread, one after the other."""

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
            store: the storage of the segments.
            seconds: a segment is written at this time after its first message.
            messages: a segment is also written when it has this number of messages.
            written: called with the key of each segment that was written, and the names of its batches.
        """
        self._written = written
        self._store = store
        self._seconds = seconds
        self._messages = messages
        self._open = _OpenSegment()
        self._change = threading.Condition()
        self._flush = False
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    def add(self, messages: Sequence[Message], batch: str = "", senders: Sequence[str] = ()) -> Future[None]:
        """Add a batch of messages; the future is done when they are in object storage.

        ``senders`` are the publishers of the messages, as the broker has verified them.

        While object storage is unavailable, the future stays pending. It fails with `StorageUnavailable` if the archive
        is closed before, and with another error if no later attempt would succeed.
        """
        future: Future[None] = Future()
        with self._change:
            if self._closed:
                future.set_exception(StorageUnavailable("the archive is closed"))
                return future
            if not self._open.lines:
                self._open.since = time.monotonic()
            for message, sender in zip(messages, senders or [""] * len(messages), strict=True):
                line = message.encode()
                if sender:  # one more field of the message, which decoders ignore
                    line = b'{"sender":%s,%s' % (json.dumps(sender).encode(), line[1:])
                self._open.lines.append(line)
            self._open.futures.append((len(self._open.lines), future))
            self._open.batches.append(batch)
            WAITING.inc(len(messages))
            self._change.notify()
        return future

    def flush(self) -> None:
        """Write the open segment now."""
        with self._change:
            self._flush = True
            self._change.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Write the open segment; stop the attempts after ``timeout`` seconds."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(timeout)
        self._stop.set()
        self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        while (segment := self._next_segment()) is not None:
            error: Exception | None = None
            try:
                content = gzip.compress(b"".join(segment.lines), compresslevel=6)
                key = f"{FOLDER}/{datetime.now(UTC):%Y-%m-%d/%H%M}-{ULID()}.jsonl.gz"
                put = retrying(self._stop, StorageUnavailable, longest=LONGEST_PAUSE, before_pause=_count_failure)
                put(self._store.put, key, content, CONTENT_TYPE)
                self._written(key, segment.batches)
                SEGMENTS.inc()
            except Exception as failure:  # noqa: BLE001  the owners of the futures handle it
                error = failure
            WAITING.dec(len(segment.lines))
            for _, future in segment.futures:
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    def _next_segment(self) -> _OpenSegment | None:
        """Wait for a segment of at most `MOST_IN_SEGMENT` messages; None when the archive is closed and empty."""
        with self._change:
            while True:
                age = time.monotonic() - self._open.since
                is_due = age >= self._seconds or len(self._open.lines) >= self._messages
                if self._open.lines and (is_due or self._flush or self._closed):
                    break
                if self._closed:
                    return None
                self._change.wait(self._seconds - age if self._open.lines else None)
            whole, self._flush = self._open, False
            cut = next((count for count, _ in whole.futures if count >= MOST_IN_SEGMENT), len(whole.lines))
            taken = [each for each in whole.futures if each[0] <= cut]
            left = [(count - cut, future) for count, future in whole.futures if count > cut]
            self._open = _OpenSegment(whole.lines[cut:], left, whole.batches[len(taken) :], whole.since)
            return _OpenSegment(whole.lines[:cut], taken, whole.batches[: len(taken)], whole.since)


def _count_failure(state: RetryCallState) -> None:
    FAILURES.inc()
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        _log.warning("the archive can't be written; counting continues, and writing is tried again", reason=str(error))


def segments(store: ObjectStore, prefix: str = f"{FOLDER}/") -> list[str]:
    """Return the keys of the segments, oldest first."""
    return sorted(store.keys(prefix))


def read_segment(store: ObjectStore, key: str) -> Iterator[Message]:
    """Yield the messages of a segment; lines that can't be decoded are skipped, with a warning.

    Raises:
        DamagedSegment: the segment is incomplete or damaged.
        StorageError: object storage failed.
    """
    for line in lines_of(store, key):
        try:
            yield decode(line)
        except MalformedMessage as error:
            _log.warning("skipped a line of the archive", segment=key, reason=str(error))


def lines_of(store: ObjectStore, key: str) -> Iterator[bytes]:
    """Yield the lines of a segment, each with its newline.

    Raises:
        DamagedSegment: the segment is incomplete or damaged.
        StorageError: object storage failed.
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
    before_write: Callable[[Sequence[str], str], None] = lambda _keys, _into: None,
) -> None:
    """Merge segments into one, without repeated lines, and delete them. After an interruption, all may exist.

    Args:
        store: the storage of the segments.
        keys: the keys of the segments to merge.
        into: the key of the merged segment.
        before_write: called with ``keys`` and ``into`` just before the merged segment is written.

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
    before_write(keys, into)
    store.put(into, content.getvalue(), CONTENT_TYPE)
    for key in keys:
        store.delete(key)
