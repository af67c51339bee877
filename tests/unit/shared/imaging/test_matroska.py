"""The packets of a Matroska file whose check sums are wrong are damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from shared.imaging.matroska import CLUSTER, checked, is_matroska

FILLING = bytes(range(1, 200))


def cluster(seconds: int, *, has_check_sum: bool = True) -> bytes:
    content = b"\xe7\x84" + struct.pack(">I", seconds * 1000) + b"\xec" + bytes([0x80 | 100]) + FILLING[:100]
    if has_check_sum:
        content = b"\xbf\x84" + struct.pack("<I", zlib.crc32(content)) + content
    return CLUSTER + b"\x40" + bytes([len(content)]) + content


def damaged_seconds(path: Path, clusters: Iterable[bytes]) -> list[float]:
    """The seconds whose packets are damaged, of a file with one packet every half second."""
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"".join(clusters))
    assert is_matroska(path)
    packets = ((500.0 * number, False) for number in range(20))
    return [time / 1000 for time, damaged in checked(packets, path) if damaged]


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("clusters", "damaged"),
    [
        ([cluster(0), cluster(2), cluster(4), cluster(6)], []),
        ([cluster(0), changed(cluster(2), 60), cluster(4), cluster(6)], [2, 2.5, 3, 3.5]),
        ([changed(cluster(0), 60), cluster(2), cluster(4)], [0, 0.5, 1, 1.5]),
        ([cluster(0), cluster(2), changed(cluster(8), 60)], [8, 8.5, 9, 9.5]),
        ([cluster(0), cluster(2), cluster(4)[:50], cluster(6)], [4, 4.5, 5, 5.5]),
        ([cluster(0), cluster(2), changed(cluster(4), 6), cluster(6)], [4, 4.5, 5, 5.5]),
        ([cluster(10), cluster(12), changed(cluster(14), 60), cluster(16)], [4, 4.5, 5, 5.5]),
        ([cluster(0), cluster(2)[:40]], []),
        ([cluster(0, has_check_sum=False), cluster(2, has_check_sum=False)], []),
        ([], []),
    ],
    ids=["whole", "a byte", "first", "last", "bytes lost", "no sum", "late clock", "cut off", "no check sums", "empty"],
)
def test_the_packets_of_a_damaged_cluster_are_damaged(
    tmp_path: Path, clusters: list[bytes], damaged: list[float]
) -> None:
    assert damaged_seconds(tmp_path / "video.mkv", clusters) == damaged
