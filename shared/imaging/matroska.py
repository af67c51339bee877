"""Check the check sums of the clusters of a Matroska file (RFC 9559): FFmpeg writes them, and reads past them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

HEAD: Final = b"\x1a\x45\xdf\xa3"
"""Beginning of a Matroska or WebM file."""
CLUSTER: Final = b"\x1f\x43\xb6\x75"
CHECK_SUM: Final = b"\xbf\x84"
"""Head of the element with the check sum of a cluster; its 4 bytes follow."""
CHECK_SUM_BYTES: Final = 6
TIME: Final = b"\xe7"
"""Element with the time of a cluster."""
HEAD_BYTES: Final = 24
"""Bytes that contain the size, the check sum and the time of a cluster."""
TIME_SCALE: Final = b"\x2a\xd7\xb1"
"""Element with the nanoseconds of a tick of the clock; without it, a tick is a millisecond."""
CHUNK: Final = 1 << 20
TOLERANCE: Final = 1.0
"""Milliseconds by which a time in the file may be rounded."""


def is_matroska(path: Path) -> bool:
    """Return whether a file is Matroska or WebM, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD


def checked(packets: Iterator[tuple[float, bool]], path: Path) -> Iterator[tuple[float, bool]]:
    """Yield the packets of a Matroska file; those of a cluster whose check sum is wrong are damaged."""
    stretches = _stretches(path)
    end, is_whole = next(stretches, (float("inf"), True))
    for time, damaged in packets:
        while time >= end - TOLERANCE:
            end, is_whole = next(stretches, (float("inf"), True))
        yield time, damaged or not is_whole


def _stretches(path: Path) -> Iterator[tuple[float, bool]]:
    """Yield where each stretch of a file ends, in milliseconds from its first cluster, and whether it is whole.

    Without check sums, the file is one stretch, which counts as whole.
    """
    with path.open("rb") as file:
        first: float | None = None
        last, was_whole = 0.0, True
        for time, is_whole in _clusters(file):
            if first is None:
                first = last = time
            else:
                last = max(time, last)  # the time of a damaged cluster may be wrong
                yield last - first, was_whole
            was_whole = is_whole
        yield float("inf"), was_whole


def _clusters(file: IO[bytes]) -> Iterator[tuple[float, bool]]:
    """Yield the time of each cluster in milliseconds, and whether its check sum is right.

    What is left of a cluster where the file is cut off counts as whole. Nothing comes if there are no check sums.
    """
    begin = file.read(CHUNK)
    scale = begin.find(TIME_SCALE)
    tick = _number(begin[scale + len(TIME_SCALE) :]) / 1e6 if scale >= 0 else 1.0
    at, is_first = _find_cluster(file, 0), True
    while at >= 0:
        file.seek(at + len(CLUSTER))
        head = file.read(HEAD_BYTES)
        width = 9 - head[0].bit_length() if head else 9
        size = int.from_bytes(head[:width], "big") & (1 << 7 * width) - 1
        check_sum, content = head[width : width + CHECK_SUM_BYTES], head[width + CHECK_SUM_BYTES :]
        has_check_sum = check_sum.startswith(CHECK_SUM)
        if is_first and not has_check_sum:
            return
        start = at + len(CLUSTER) + width
        found = _check_sum(file, start + CHECK_SUM_BYTES, size - CHECK_SUM_BYTES)
        is_whole = has_check_sum and found in (None, int.from_bytes(check_sum[len(CHECK_SUM) :], "little"))
        yield tick * _number(content[1:]) if content[:1] == TIME else 0.0, is_whole
        at, is_first = _find_cluster(file, start + size if is_whole else start), False


def _number(data: bytes) -> int:
    """Return the integer of an element, from the length that comes before it."""
    return int.from_bytes(data[1 : 1 + (data[0] & 0x7F)], "big") if data else 0


def _check_sum(file: IO[bytes], at: int, size: int) -> int | None:
    """Return the check sum of a part of a file; None if the file ends within it."""
    file.seek(at)
    check_sum = 0
    while size > 0:
        if not (chunk := file.read(min(size, CHUNK))):
            return None
        check_sum, size = zlib.crc32(chunk, check_sum), size - len(chunk)
    return check_sum


def _find_cluster(file: IO[bytes], at: int) -> int:
    """Return where the next cluster begins from a position on; -1 if none does."""
    file.seek(at)
    before = b""
    while chunk := file.read(CHUNK):
        data = before + chunk
        if (place := data.find(CLUSTER)) >= 0:
            return at - len(before) + place
        at, before = at + len(chunk), data[1 - len(CLUSTER) :]
    return -1
