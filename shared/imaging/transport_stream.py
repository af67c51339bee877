"""Read the numbers of the packets of an MPEG-TS file (ISO/IEC 13818-1): they tell which frames miss a part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIZE: Final = 188
"""Bytes of a packet."""
SYNC: Final = 0x47
"""The first byte of each packet."""
CHUNK: Final = SIZE * 4096
IMAGES: Final = range(0xE0, 0xF0)
"""Identifiers of streams of images (table 2-22)."""
CLOCK: Final = 90
"""Ticks of the clock per millisecond."""
WRAP: Final = 1 << 33
"""Ticks after which the clock starts at 0 again."""
EARLIER: Final = 60_000 * CLOCK
"""Ticks by which a time may be before the first one; an earlier time is one after the clock started again."""
ONE_RECORDING: Final = range(-1_000 * CLOCK, 5_000 * CLOCK)
"""Ticks from a frame to the next in the file, in one recording; it may be shown before that one."""


def is_transport_stream(path: Path) -> bool:
    """Return whether a file begins with packets of MPEG-TS."""
    with path.open("rb") as file:
        return set(file.read(5 * SIZE)[::SIZE]) == {SYNC}


def transport_packets(path: Path) -> Iterator[tuple[float, bool]]:
    """Yield the time of each frame of an MPEG-TS file in the order of the file, and whether a part of it is missing."""
    first: int | None = None
    ticks: int | None = None
    damaged = False
    for event in _events(path):
        if event.time is not None:
            if ticks is not None and first is not None:
                is_other_recording = event.restarts and event.time - ticks not in ONE_RECORDING
                yield _milliseconds(ticks - first), damaged or (event.is_gap and not is_other_recording)
            first = event.time if first is None else first
            ticks, damaged = event.time, event.is_wrong
        else:
            damaged |= event.is_gap or event.is_wrong
    if ticks is not None and first is not None:
        yield _milliseconds(ticks - first), damaged


def _milliseconds(ticks: int) -> float:
    """Return the time of a frame from its ticks since the first one, also after the clock started again."""
    return (ticks if ticks > -EARLIER else ticks + WRAP) / CLOCK


@dataclass(frozen=True)
class _Event:
    """A packet where a frame begins, or before which packets are missing."""

    time: int | None = None
    """The time of the frame that begins, in ticks."""
    is_gap: bool = False
    """Packets before this one are missing."""
    is_wrong: bool = False
    """The receiver of the packet marked it as wrong."""
    restarts: bool = False
    """The number of the packet is 0."""


def _events(path: Path) -> Iterator[_Event]:
    stream = -1
    counter: int | None = None
    for rows, is_gap in _rows(path):
        if is_gap:
            yield _Event(is_gap=True)
        if stream < 0:
            stream = _stream_of_images(rows)
        ids = (rows[:, 1].astype(np.int32) & 0x1F) << 8 | rows[:, 2]
        images = rows[(ids == stream) & (rows[:, 3] & 0x10 > 0)]
        if not len(images):
            continue
        counters, flags = (images[:, 3] & 0x0F).astype(np.int32), images[:, 1]
        before = int(counters[0]) - 1 if counter is None else counter
        gaps = counters != (np.append(before, counters[:-1]) + 1) & 0x0F
        for at in np.flatnonzero(gaps | (flags & 0xC0 > 0)):
            row = images[at].tobytes()
            is_repeated = at > 0 and row == images[at - 1].tobytes()  # a packet may be sent twice
            yield _Event(_time_of(row), bool(gaps[at]) and not is_repeated, bool(flags[at] & 0x80), not counters[at])
        counter = int(counters[-1])


def _rows(path: Path) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """Yield the packets of a file as rows of an array, and whether there are other bytes before them."""
    with path.open("rb") as file:
        data, is_gap = b"", False
        while more := file.read(CHUNK):
            data += more
            while len(data) >= SIZE:
                rows = np.frombuffer(data, np.uint8, len(data) // SIZE * SIZE).reshape(-1, SIZE)
                wrong = np.flatnonzero(rows[:, 0] != SYNC)
                count = int(wrong[0]) if len(wrong) else len(rows)
                if count:
                    yield rows[:count], is_gap
                is_gap = len(wrong) > 0
                data = data[count * SIZE :]
                if is_gap:
                    data = data[_next_packet(data) :]
        if data or is_gap:
            yield rows[:0], True


def _next_packet(data: bytes) -> int:
    """Return where a packet begins behind other bytes, or how many bytes have none."""
    at = data.find(SYNC, 1)
    while 0 <= at < len(data) - SIZE and data[at + SIZE] != SYNC:
        at = data.find(SYNC, at + 1)
    return at if at >= 0 else len(data)


def _stream_of_images(rows: NDArray[np.uint8]) -> int:
    """Return the identifier of the stream whose frames are images; -1 if none begins in these packets."""
    for row in rows[rows[:, 1] & 0x40 > 0]:
        if _time_of(row.tobytes()) is not None:
            return int(row[1] & 0x1F) << 8 | int(row[2])
    return -1


def _time_of(packet: bytes) -> int | None:
    """Return the time of the image that begins in a packet, in ticks; None if none begins, or it has no time."""
    start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    head = packet[start : start + 14]
    if not packet[1] & 0x40 or len(head) < 14 or head[:3] != b"\0\0\1" or head[3] not in IMAGES or not head[7] & 0x80:
        return None
    return (head[9] >> 1 & 7) << 30 | head[10] << 22 | head[11] >> 1 << 15 | head[12] << 7 | head[13] >> 1
