"""HTTP connections that end transfers below a minimum speed; a timeout for each read can't do that."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

QUIET_SECONDS: Final = 10.0
"""Time limit of one read (unless the pool has another limit), and of sending `CHUNK` bytes."""
ALLOWED_SECONDS: Final = 20.0
"""Time limit of a response without content."""
SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024
"""Minimum speed: the time limit of a response grows by one second with each such number of received bytes."""
CHUNK: Final = 64 * 1024


class _PacedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._quiet = sock.gettimeout() or QUIET_SECONDS
        self._until = time.monotonic() + ALLOWED_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the response came more slowly than {SLOWEST_BYTES_PER_SECOND // 1024} KiB/s")
        self._sock.settimeout(min(self._quiet, left))
        received: int | None = self._raw.readinto(buffer)
        self._until += (received or 0) / SLOWEST_BYTES_PER_SECOND
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), sock))


class _Paced:
    """Minimum speed for both kinds of connections."""

    response_class = _PacedResponse
    sock: socket.socket

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.settimeout(QUIET_SECONDS)  # urllib3 keeps the connect timeout for the request

    def send(self, data: Any) -> None:
        """Send in chunks: the socket's timeout is for everything that one call sends."""
        pieces = memoryview(data) if isinstance(data, bytes | bytearray | memoryview) else None
        if pieces is None or len(pieces) <= CHUNK:
            super().send(data)  # type: ignore[misc]
            return
        for start in range(0, len(pieces), CHUNK):
            super().send(pieces[start : start + CHUNK])  # type: ignore[misc]


class _PacedHTTPConnection(_Paced, HTTPConnection):  # type: ignore[misc]
    pass


class _PacedHTTPSConnection(_Paced, HTTPSConnection):  # type: ignore[misc]
    pass


class _PacedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PacedHTTPConnection


class _PacedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PacedHTTPSConnection


def paced_pool(**options: Any) -> urllib3.PoolManager:
    """Return a pool of connections with a minimum speed; ``options`` are urllib3's."""
    pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = {"http": _PacedHTTPPool, "https": _PacedHTTPSPool}
    return pool
