"""The damage of a packet reaches the frame that is decoded from it, and those that came to the decoder later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.imaging.codec import check_jpeg, encode
from shared.imaging.packets import PacketDamage, is_damaged
from tests.camera_videos import scene


def reached(packets: list[tuple[float, bool]], frames: list[float]) -> list[bool]:
    damage = PacketDamage(iter(packets))
    return [damage.reaches(time) for time in frames]


@pytest.mark.parametrize(
    ("packets", "frames", "expected"),
    [
        ([(0, False), (40, True), (80, False)], [0, 40, 80], [False, True, False]),
        ([(0, False), (40, True), (80, False)], [0, 80], [False, True]),
        # packets of a video with B frames come in another order than its frames
        (
            [(0, False), (120, True), (40, False), (80, False), (240, False)],
            [0, 40, 80, 120, 240],
            [False, True, False, False, False],
        ),
        # another recording begins
        ([(0, False), (40, False), (0, False), (40, True)], [0, 40, 0, 40], [False, False, False, True]),
        # no packet has the time of the frame
        ([(0, False), (40, True), (80, False)], [0, 41, 80], [False, True, False]),
        ([], [0, 40], [False, False]),
    ],
    ids=["in order", "a lost frame", "reordered", "joined", "other times", "no packets"],
)
def test_a_damaged_packet_reaches_its_frame(
    packets: list[tuple[float, bool]], frames: list[float], expected: list[bool]
) -> None:
    assert reached(packets, frames) == expected


def test_a_part_of_the_file_that_cant_be_read_says_nothing() -> None:
    def packets() -> Iterator[tuple[float, bool]]:
        yield 0.0, False
        raise OSError("a bad sector")

    damage = PacketDamage(packets())
    assert [damage.reaches(time) for time in (0, 40)] == [False, False]


def test_zeros_of_a_lost_block_are_damage_where_the_codec_writes_none() -> None:
    packet = b"\x01" * 500 + bytes(512) + b"\x01" * 500
    codecs = ("VP90", "HEVC", "MP4V", "MPG2", "FFV1")
    assert [is_damaged(packet, codec, check_jpeg) for codec in codecs] == [True, True, True, False, False]
    assert [is_damaged(packet[:600], codec, check_jpeg) for codec in codecs] == [False, True, True, False, False]
    assert is_damaged(b"", "FFV1", check_jpeg)


def test_an_image_of_motion_jpeg_is_damaged_unless_it_is_whole() -> None:
    whole = encode(scene(3), "jpeg")
    damaged = [whole[:-200], whole[:-600] + bytes(400) + whole[-200:], b"no JPEG \xff\xc4"]
    assert [is_damaged(each, "MJPG", check_jpeg) for each in (whole, *damaged)] == [False, True, True, True]
