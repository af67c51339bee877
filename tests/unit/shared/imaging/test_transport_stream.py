"""The frames of an MPEG-TS file whose packets are missing are damaged, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.imaging.transport_stream import SIZE, is_transport_stream, transport_packets
from tests.camera_videos import scene, write_video

FRAMES = 30
IMAGES = 0x100
"""The stream of images in the files that FFmpeg writes."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = write_video(tmp_path_factory.mktemp("ts") / "whole.ts", FRAMES, size=(160, 128), draw=scene)
    assert is_transport_stream(path)
    content = path.read_bytes()
    return [content[at : at + SIZE] for at in range(0, len(content), SIZE)]


def begins_a_frame(packet: bytes) -> bool:
    return int.from_bytes(packet[1:3], "big") & 0x5FFF == 0x4000 | IMAGES


def frame(packets: list[bytes], number: int) -> int:
    """Where a frame begins."""
    return [at for at, packet in enumerate(packets) if begins_a_frame(packet)][number]


def without(begin: int, count: int = 1) -> Callable[[list[bytes]], bytes]:
    return lambda packets: b"".join(packets[: frame(packets, 9) + begin] + packets[frame(packets, 9) + begin + count :])


def with_error(packets: list[bytes]) -> bytes:
    at = frame(packets, 9) + 1
    wrong = bytes([packets[at][0], packets[at][1] | 0x80]) + packets[at][2:]
    return b"".join([*packets[:at], wrong, *packets[at + 1 :]])


def sent_twice(packets: list[bytes]) -> bytes:
    at = frame(packets, 9) + 1
    return b"".join([*packets[:at], packets[at], *packets[at:]])


def with_other_bytes(packets: list[bytes]) -> bytes:
    at = frame(packets, 9) + 1
    return b"".join([*packets[:at], b"\x47 other bytes", *packets[at:]])


def zeroed(packets: list[bytes]) -> bytes:
    at = frame(packets, 9) + 1
    return b"".join([*packets[:at], bytes(SIZE), *packets[at + 1 :]])


@pytest.mark.parametrize(
    ("change", "damaged", "frames"),
    [
        (b"".join, [], [*range(FRAMES)]),
        (without(1), [9], [*range(FRAMES)]),
        (without(0), [8], [*range(9), *range(10, FRAMES)]),
        (without(-1, 2), [8], [*range(9), *range(10, FRAMES)]),
        (with_error, [9], [*range(FRAMES)]),
        (sent_twice, [], [*range(FRAMES)]),
        (with_other_bytes, [9], [*range(FRAMES)]),
        (zeroed, [9], [*range(FRAMES)]),
        (lambda packets: b"".join(packets)[:-10], [FRAMES - 1], [*range(FRAMES)]),
        (lambda packets: b"".join(packets) * 2, [], [*range(FRAMES)] * 2),
    ],
    ids=["whole", "a part", "a beginning", "an end", "error", "twice", "other bytes", "zeros", "cut", "joined"],
)
def test_frames_whose_packets_are_missing_are_damaged(
    whole: list[bytes], tmp_path: Path, change: Callable[[list[bytes]], bytes], damaged: list[int], frames: list[int]
) -> None:
    path = tmp_path / "video.ts"
    path.write_bytes(change(whole))
    read = [(round(time / 40), is_damaged) for time, is_damaged in transport_packets(path)]
    assert [number for number, is_damaged in read if is_damaged] == damaged
    assert [number for number, _ in read] == frames
