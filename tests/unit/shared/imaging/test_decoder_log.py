"""What FFmpeg's log says of a frame."""

from __future__ import annotations

import pytest

from shared.imaging.decoder_log import ContinuityCounters, is_repair


@pytest.mark.parametrize(
    ("source", "level", "message"),
    [
        (b"AVCodecContext", 16, b"error while decoding MB %d %d, bytestream %td\n"),
        (b"AVCodecContext", 32, b"concealing %d DC, %d AC, %d MV errors in %c frame\n"),
        (b"AVCodecContext", 48, b"Frame num gap %d %d\n"),
    ],
)
def test_missing_data_is_a_repair(source: bytes, level: int, message: bytes) -> None:
    assert is_repair(source, level, message)


@pytest.mark.parametrize(
    ("source", "level", "message"),
    [
        (b"AVCodecContext", 16, b"SEI type %d size %d truncated at %d\n"),
        (b"AVCodecContext", 24, b"Late SEI is not implemented\n"),
        (b"AVCodecContext", 48, b"nal_unit_type: %d(%s), nal_ref_idc: %d\n"),
        (b"AVFormatContext", 24, b"Packet corrupt (stream = %d, dts = %s)%s.\n"),
        (b"AVFormatContext", 16, b"method %s failed: %d %s\n"),
        (b"URLContext", 16, b"Stream ends prematurely\n"),
    ],
)
def test_everything_else_is_none(source: bytes, level: int, message: bytes) -> None:
    assert not is_repair(source, level, message)


@pytest.mark.parametrize(
    ("failures", "gaps"),
    [
        ([(256, 7)], [True]),
        ([(256, 0)], [True]),
        ([(0, 5), (17, 2), (256, 7)], [False, False, True]),
        ([(17, 0), (0, 0), (4096, 0), (256, 0)], [False, False, False, False]),
        ([(256, 0), (256, 0)], [True, True]),
    ],
    ids=["lost", "lost up to number 0", "tables too", "another recording", "lost twice"],
)
def test_packets_are_missing_unless_all_counters_restart(failures: list[tuple[int, int]], gaps: list[bool]) -> None:
    counters = ContinuityCounters()
    assert [counters.is_gap(stream, number) for stream, number in failures] == gaps
