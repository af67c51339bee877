"""A network camera on loopback: MPEG-4 or H.264 over RTSP, interleaved with its connection, without end."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cv2

FRAMES_PER_SECOND: Final = 25
CLOCK: Final = 90_000
NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""
PAYLOAD: Final = 400
"""Bytes of a packet: small, so that a frame has several."""


class RtspCamera:
    """Plays the frames of a video again and again."""

    def __init__(self, video: Path) -> None:
        self._is_h264, self._config, self._frames = _encoded(video)
        self.loses: Callable[[int, int], bool] = lambda _frame, _packet: False
        """Whether a packet of a frame is lost on its way."""
        self.silent = threading.Event()
        """The camera sends nothing while this is set, and keeps the connection."""
        self.clock: Callable[[], float] | None = None
        """The camera's clock, which its sender reports name; None: it sends none."""
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        return f"rtsp://admin:hunter2@127.0.0.1:{self._listening.getsockname()[1]}/stream"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="rtsp camera", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as requests:
            while line := requests.readline():
                if line.startswith(b"$"):
                    continue  # a receiver report
                if not (request := re.match(rb"([A-Z_]+) (\S+) RTSP", line)):
                    continue
                headers = dict(
                    header.decode().strip().lower().split(": ", 1) for header in iter(requests.readline, b"\r\n")
                )
                reply, body = self._reply(request[1].decode())
                head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n{reply}"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if request[1] == b"PLAY":
                    threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _reply(self, method: str) -> tuple[str, str]:
        if method == "OPTIONS":
            return "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n", ""
        if method == "SETUP":
            return "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""
        if method == "DESCRIBE":
            codec = (
                (f"a=rtpmap:96 H264/{CLOCK}", "a=fmtp:96 packetization-mode=1")
                if self._is_h264
                else (f"a=rtpmap:96 MP4V-ES/{CLOCK}", f"a=fmtp:96 profile-level-id=1;config={self._config.hex()}")
            )
            lines = [
                "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "t=0 0", "m=video 0 RTP/AVP 96", *codec,
                f"a=framerate:{FRAMES_PER_SECOND}", "a=control:track1",
            ]  # fmt: skip
            return "Content-Type: application/sdp\r\n", "".join(f"{line}\r\n" for line in lines)
        return "", ""

    def _play(self, connection: socket.socket) -> None:
        sequence = 0
        began = time.time()
        with contextlib.suppress(OSError):
            for number in count():
                while self.silent.is_set():
                    time.sleep(0.01)
                stamp = number * CLOCK // FRAMES_PER_SECOND
                if self.clock and number % 5 == 0:
                    seconds = self.clock() + NTP_EPOCH
                    ntp = int(seconds), int(seconds % 1 * 2**32)
                    _send(connection, 1, struct.pack(">BBHIIIIII", 0x80, 200, 6, 1, *ntp, stamp, number, 0))
                frame = self._frames[number % len(self._frames)]
                pieces = _h264_packets(frame) if self._is_h264 else _pieces(frame)
                for index, piece in enumerate(pieces):
                    sequence += 1
                    if self.loses(number, index):
                        continue
                    marker = 0x80 if index == len(pieces) - 1 else 0
                    _send(connection, 0, struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, stamp, 1) + piece)
                time.sleep(max(0.0, began + (number + 1) / FRAMES_PER_SECOND - time.time()))


def _send(connection: socket.socket, channel: int, packet: bytes) -> None:
    connection.sendall(b"$" + bytes([channel]) + struct.pack(">H", len(packet)) + packet)


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PAYLOAD] for at in range(0, len(data), PAYLOAD)]


def _h264_packets(frame: bytes) -> list[bytes]:
    """Return the units of a frame, a large one in fragments (RFC 6184, FU-A)."""
    packets = []
    for unit in filter(None, re.split(rb"\x00\x00\x00?\x01", frame)):
        pieces = _pieces(unit[1:])
        if len(pieces) == 1:
            packets.append(unit)
            continue
        for index, piece in enumerate(pieces):
            ends = 0x80 if index == 0 else 0x40 if index == len(pieces) - 1 else 0
            packets.append(bytes([unit[0] & 0xE0 | 28, ends | unit[0] & 0x1F]) + piece)
    return packets


def _encoded(video: Path) -> tuple[bool, bytes, list[bytes]]:
    """Return whether a video is H.264, and the configuration and the encoded frames of it or of an MPEG-4 video."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_FORMAT, -1)
    is_h264 = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") in (b"avc1", b"h264", b"H264")
    _, config = capture.retrieve(flag=int(capture.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
    frames: list[bytes] = []
    while True:
        read, data = capture.read()
        if not read:
            return is_h264, config.tobytes(), frames
        frames.append(data.tobytes())
