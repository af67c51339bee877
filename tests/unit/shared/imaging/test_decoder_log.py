"""What FFmpeg's log says of a frame."""

from __future__ import annotations

import pytest

from shared.imaging.decoder_log import is_repair


@pytest.mark.parametrize(
    ("source", "level", "message"),
    [
        (b"AVCodecContext", 16, b"error while decoding MB %d %d, bytestream %td\n"),
        (b"AVCodecContext", 32, b"concealing %d DC, %d AC, %d MV errors in %c frame\n"),
        (b"AVCodecContext", 48, b"Frame num gap %d %d\n"),
        (b"AVFormatContext", 24, b"RTP: missed %d packets\n"),
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
        (b"AVFormatContext", 16, b"method %s failed: %d %s\n"),
        (b"URLContext", 16, b"Stream ends prematurely\n"),
    ],
)
def test_everything_else_is_none(source: bytes, level: int, message: bytes) -> None:
    assert not is_repair(source, level, message)
