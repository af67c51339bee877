"""Split motion JPEG (``multipart/x-mixed-replace``) into images, also where cameras violate RFC 2046."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

HEADER: Final = re.compile(rb"([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*([^\r\n]*)")
BOUNDARY: Final = re.compile(rb"--[\x20-\x7e]*")
LONGEST_LINE: Final = 8 * 1024
"""Most bytes of a line between two images."""
LONGEST_BOUNDARY: Final = 100
"""Most bytes of a boundary; RFC 2046 allows 70."""
MOST_DIGITS: Final = 12
"""Most digits of a length."""
ENDS: Final = (b"\xff\xd9", b"IEND\xaeB`\x82")
"""The last bytes of a JPEG and of a PNG."""


@dataclass(frozen=True)
class MultipartImage:
    """One image as a camera sent it."""

    headers: Mapping[str, str]
    """The headers by their names in lower case."""
    content: bytes


def _pattern(boundary: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a boundary after a part; for an empty text, the pattern of any boundary."""
    return re.compile(rb"(?:\A|\r?\n)(?P<dashes>--)-*" + re.escape(boundary[:LONGEST_BOUNDARY]))


class _Ended(Exception):
    """The chunks have ended."""


class MultipartReader:
    """Reads the parts of an answer from chunks of bytes.

    Cameras omit the first boundary or the length of a part, name a wrong length, quote the boundary, or announce it
    with two extra dashes. A part may be empty, or may not be an image.
    """

    def __init__(self, chunks: Iterator[bytes], content_type: str, size_limit: int) -> None:
        self._chunks = chunks
        self._size_limit = size_limit
        self._buffer = bytearray()
        named = re.search(r'boundary="?-*([^";,\s]+)', content_type, re.IGNORECASE)
        self._boundary = _pattern(named[1].encode() if named else b"")
        self._has_boundaries = False

    def parts(self) -> Iterator[MultipartImage]:
        """Yield each part until the chunks end; the last one may be cut off."""
        headers: dict[str, str] = {}
        try:
            while True:
                headers = self._headers()
                yield MultipartImage(headers, self._content(headers.get("content-length", "")))
                headers = {}
        except _Ended:
            if headers and self._buffer:
                yield MultipartImage(headers, bytes(self._buffer))

    def _headers(self) -> dict[str, str]:
        """Return the headers before the next part. Lines of other content before them are skipped."""
        headers: dict[str, str] = {}
        while True:
            line = self._line()
            if header := HEADER.fullmatch(line):
                headers[header[1].decode().lower()] = header[2].decode(errors="replace").strip()
            elif BOUNDARY.fullmatch(line):
                self._boundary = _pattern(line.strip(b"-"))  # the boundary that is sent replaces the announced one
                self._has_boundaries = True
                headers.clear()
            elif line:
                headers.clear()
            elif headers:
                return headers

    def _line(self) -> bytes:
        """Return the next line without its line break; of a line longer than `LONGEST_LINE`, only the end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LONGEST_LINE:
                self._buffer.clear()
            self._receive()
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _content(self, length: str) -> bytes:
        """Return the content of a part by its length, or up to a boundary if no image ends there."""
        if not length.isdecimal() or len(length) > MOST_DIGITS or int(length) > self._size_limit:
            return self._take_to_boundary()
        size = int(length)
        with suppress(_Ended):  # a length that is too large may reach beyond the last part
            while len(self._buffer) < size:
                self._receive()
        content = bytes(self._buffer[:size])
        is_whole = content.rstrip(b"\0\r\n").endswith(ENDS)
        if len(content) < size or (self._has_boundaries and not is_whole):
            return self._take_to_boundary()
        del self._buffer[:size]
        return content

    def _take_to_boundary(self) -> bytes:
        """Return the content up to the next boundary, which stays in the buffer."""
        searched = 0
        while not (found := self._boundary.search(self._buffer, searched)):
            searched = max(0, len(self._buffer) - LONGEST_BOUNDARY)
            if len(self._buffer) > self._size_limit:
                self._buffer.clear()
                return b""
            self._receive()
        content = bytes(self._buffer[: found.start()])
        del self._buffer[: found.start("dashes")]
        return content

    def _receive(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise _Ended
        self._buffer += chunk
