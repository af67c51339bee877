"""Limit the number and the duration of connections, so that incomplete requests can't block the service."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.dashboard.web.problems import Problem, respond

HEAD_SECONDS: Final = 10.0
"""Most seconds from the start of a connection to the end of the first request's head."""
KEEP_ALIVE_SECONDS: Final = 30
"""Seconds after which an idle connection is closed."""
UNREAD_SECONDS: Final = 60.0
"""Seconds after which a connection is closed if the caller reads nothing of the answer."""
HANDSHAKE_SECONDS: Final = 5.0
"""Most seconds of a TLS handshake."""
BACKLOG: Final = 64
"""Most connections that wait to be accepted."""
MOST_DESCRIPTORS: Final = 65_536
"""Most open files and connections of the process, even if the system permits more."""


def raise_open_file_limit() -> int:
    """Raise the limit of open files and connections to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        soft = limit
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


class LimitedSocket(socket.socket):
    """A listening socket that closes new connections while most file descriptors are in use."""

    most_descriptors = MOST_DESCRIPTORS

    def accept(self) -> tuple[socket.socket, Any]:
        # the system assigns the lowest free number, so a high one means that few are left
        connection, address = super().accept()
        if connection.fileno() >= self.most_descriptors:
            connection.close()
            raise ConnectionAbortedError("too many connections")
        return connection, address


class Connections:
    """The open connections, and which of them are idle.

    When the limit is reached, a new connection replaces the connection that has been idle longest. If no connection is
    idle, the new one is refused.
    """

    def __init__(self, most: int, most_of_one: int, proxies: Iterable[str] = ()) -> None:
        """Limit the number of all connections to ``most``, and of one address (except proxies) to ``most_of_one``."""
        self._most = most
        self._proxies = {each.strip() for each in proxies}
        self._most_of_one = most_of_one
        self._open: dict[BoundedProtocol, str] = {}
        self._of_address: Counter[str] = Counter()
        self._idle: OrderedDict[BoundedProtocol, None] = OrderedDict()

    def admit(self, connection: BoundedProtocol, address: str) -> bool:
        """Count a new connection, and return True; return False if it must be closed."""
        too_many = self._of_address[address] >= self._most_of_one and address not in self._proxies
        if too_many and not self._make_room(address):
            return False
        if len(self._open) >= self._most and not self._make_room(None):
            return False
        self._open[connection] = address
        self._of_address[address] += 1
        return True

    def set_idle(self, connection: BoundedProtocol) -> None:
        """Note that a connection waits for a request."""
        if connection in self._open:
            self._idle[connection] = None

    def set_busy(self, connection: BoundedProtocol) -> None:
        """Note that a request of a connection is being answered."""
        self._idle.pop(connection, None)

    def remove(self, connection: BoundedProtocol) -> None:
        """Note that a connection was closed."""
        self._idle.pop(connection, None)
        if (address := self._open.pop(connection, None)) is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _make_room(self, address: str | None) -> bool:
        oldest = next((each for each in self._idle if address in (None, self._open[each])), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.abort()
        return True


class BoundedProtocol(H11Protocol):
    """A connection with a time limit for the head of each request."""

    def __init__(self, bounds: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._bounds.admit(self, self.client[0] if self.client else ""):
            self._wait(HEAD_SECONDS)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._bounds.set_busy(self)
            self._disarm()

    def on_response_complete(self) -> None:
        self._wait(KEEP_ALIVE_SECONDS + HEAD_SECONDS)
        super().on_response_complete()  # this may start the answer to a pipelined request
        if not self.cycle.response_complete:
            self._bounds.set_busy(self)
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._stop_watching()
        self._bounds.remove(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that can't be parsed with problem details."""
        details = respond(Problem(400, msg).details)
        headers = [*details.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(details.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._disarm()
        self.transport.abort()

    def _watch_reader(self) -> None:
        """Close the connection if the caller reads nothing until the next check."""
        before = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() < before:
                self._watch_reader()
            else:
                self.abort()

        self._unread = self.loop.call_later(UNREAD_SECONDS, check)

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait(self, seconds: float) -> None:
        self._bounds.set_idle(self)
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
