"""Read the packets of a video file beside its decoder: these tell damage that the decoder does not notice.

A decoder of H.265, VP8 or VP9 decodes lost or wrong bytes to other pixels without a complaint. The containers say more:
MPEG-TS numbers its packets (`transport_stream.py`), and Matroska has check sums (`matroska.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import cv2

Packet = tuple[float, bool]
"""The time of an encoded frame, in milliseconds from the first one, and whether its data are damaged."""

WITHOUT_ZEROS: Final = ("H264", "AVC1", "MP4V", "FMP4", "XVID", "DIVX", "DX50", "HEVC", "HVC1", "HEV1", "H265")
"""Codecs in which a run of zeros begins a unit, so that no other is longer than two bytes."""
LOST_BLOCKS: Final = {
    **dict.fromkeys(WITHOUT_ZEROS, bytes(64)),
    **dict.fromkeys(("VP80", "VP90", "VP09"), bytes(512)),
}
"""Zeros of a block of a disk or a transfer that was never written, by codec: none of these writes that many in a row.

MPEG-2 pads with zeros, and lossless codecs write them for even areas. VP8 wrote up to 25 for an even 720p image.
"""
REPORTING: Final = ("H264", "AVC1", "MP4V", "FMP4", "XVID", "DIVX", "DX50", "MPG1", "MPG2")
"""Codecs whose decoders notice nearly all damage, because most wrong bytes have no meaning in them."""
MOTION_JPEG: Final = "MJPG"
HUFFMAN_TABLE: Final = b"\xff\xc4"
MOST_AHEAD: Final = 64
"""Most packets that are read before the frame of the first of them comes."""
TOLERANCE: Final = 0.5
"""Milliseconds between the times of a frame and its packet, at most: both are computed from the same number."""


class PacketDamage:
    """Assign the damage of packets to the frames that come from the decoder."""

    def __init__(self, packets: Iterator[Packet]) -> None:
        """``packets`` come in the order in which they are decoded."""
        self._packets = packets
        self._waiting: deque[Packet] = deque()
        """Packets that were read, and whose frames did not come so far."""

    def reaches(self, time: float) -> bool:
        """Return whether the packet of a frame is damaged, or an earlier one that was not reported so far.

        Args:
            time: of the frame, in milliseconds from the first one.
        """
        while (place := self._place(time)) is None and len(self._waiting) < MOST_AHEAD:
            try:
                self._waiting.append(next(self._packets))
            except (StopIteration, OSError):
                break
        if place is None:  # no packet has this time: the damage may be anywhere
            damaged = any(damaged for _, damaged in self._waiting)
            if self._waiting:
                self._waiting.popleft()
            return damaged
        damaged = any(self._waiting[earlier][1] for earlier in range(place + 1))
        for earlier in range(place):
            self._waiting[earlier] = self._waiting[earlier][0], False
        del self._waiting[place]
        return damaged

    def _place(self, time: float) -> int | None:
        return next((place for place, (of, _) in enumerate(self._waiting) if abs(of - time) < TOLERANCE), None)


def codec_of(capture: cv2.VideoCapture) -> str:
    """Return the four characters that name the codec of a video, in capitals."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF  # a driver may answer -1
    return code.to_bytes(4, "little").decode("ascii", "replace").upper()


def is_damaged(packet: bytes, codec: str, check_jpeg: Callable[[bytes], None]) -> bool:
    """Return whether a packet has what its codec does not write.

    Args:
        packet: one encoded frame.
        codec: as `codec_of` names it.
        check_jpeg: raises ValueError if a JPEG is not whole.
    """
    if codec == MOTION_JPEG and HUFFMAN_TABLE in packet:  # without its tables, a JPEG can't be decoded by itself
        try:
            check_jpeg(packet)
        except ValueError:
            return True
    return not packet or (codec in LOST_BLOCKS and LOST_BLOCKS[codec] in packet)
