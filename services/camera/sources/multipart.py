"""Split motion JPEG (``multipart/x-mixed-replace``) into images, also where cameras violate RFC 2046."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

HEADER: Final = re.compile(rb"([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*([^\r\n]*)")
LONGEST_LINE: Final = 8 * 1024
"""Most bytes of a line between two images."""
LONGEST_BOUNDARY: Final = 100
"""Most bytes of a boundary; RFC 2046 allows 70."""


@dataclass(frozen=True)
class MultipartImage:
    """One image as a camera sent it."""

    headers: Mapping[str, str]
    """The headers by their names in lower case."""
    content: bytes


def _pattern(boundary: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a boundary between two parts; for an empty text, the pattern of any boundary."""
    return re.compile(rb"\r?\n(?P<dashes>--)-*" + re.escape(boundary[:LONGEST_BOUNDARY]))


class _Ended(Exception):
    """The chunks have ended."""


class MultipartReader:
    """Reads the parts of an answer from chunks of bytes.

    Cameras omit the first boundary or the length of a part, quote the boundary, or announce it with two extra dashes. A
    part may be empty, or may not be an image.
    """

    def __init__(self, chunks: Iterator[bytes], content_type: str, size_limit: int) -> None:
        self._chunks = chunks
        self._size_limit = size_limit
        self._buffer = bytearray()
        named = re.search(r'boundary="?-*([^";,\s]+)', content_type, re.IGNORECASE)
        self._boundary = _pattern(named[1].encode() if named else b"")

    def parts(self) -> Iterator[MultipartImage]:
        """Yield each whole part until the chunks end."""
        while True:
            try:
                headers = self._headers()
                length = headers.get("content-length", "")
                content = self._take(int(length)) if length.isdecimal() else self._take_to_boundary()
            except _Ended:
                return
            if content:
                yield MultipartImage(headers, content)

    def _headers(self) -> dict[str, str]:
        """Return the headers before the next part. Lines of other content before them are skipped."""
        headers: dict[str, str] = {}
        while True:
            line = self._line()
            if header := HEADER.fullmatch(line):
                headers[header[1].decode().lower()] = header[2].decode(errors="replace").strip()
            elif line.startswith(b"--"):
                self._boundary = _pattern(line.strip(b"-"))  # the boundary that is sent replaces the announced one
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

    def _take(self, length: int) -> bytes:
        if length > self._size_limit:
            return b""
        while len(self._buffer) < length:
            self._receive()
        content = bytes(self._buffer[:length])
        del self._buffer[:length]
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
