"""Connections of strangers: bounded in number and in time, so that half requests keep nobody out and end nothing."""

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
"""From a connection to the end of the head of its first request."""
KEEP_ALIVE_SECONDS: Final = 30
"""A connection that has had its answer is kept for so long."""
UNREAD_SECONDS: Final = 60.0
"""A connection that takes nothing of its answer for so long is ended."""
HANDSHAKE_SECONDS: Final = 5.0
"""For TLS."""
BACKLOG: Final = 64
"""Connections that are accepted in one turn, at most."""
MOST_DESCRIPTORS: Final = 65_536


def raise_descriptors() -> int:
    """Let this process open as many files and connections as its hard limit allows; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


class Listener(socket.socket):
    """Hangs up on whoever comes while most descriptors are taken: the process needs some for its own work."""

    most_descriptors = MOST_DESCRIPTORS

    def accept(self) -> tuple[socket.socket, Any]:
        """See socket. The system gives the lowest free number, so a high one says that few are left."""
        connection, address = super().accept()
        if connection.fileno() >= self.most_descriptors:
            connection.close()
            raise ConnectionAbortedError("too many connections")
        return connection, address


class Connections:
    """How many connections there are, and which of them wait for a request.

    Whoever comes when all places are taken gets the place of the one that has waited longest without sending a request;
    where all are busy, it is sent away.
    """

    def __init__(self, most: int, most_of_one: int, proxies: Iterable[str] = ()) -> None:
        """``most`` in all, and ``most_of_one`` address, but of ``proxies``, which bring the callers of others."""
        self._most = most
        self._proxies = {each.strip() for each in proxies}
        self._most_of_one = most_of_one
        self._open: dict[BoundedProtocol, str] = {}
        self._of_address: Counter[str] = Counter()
        self._waiting: OrderedDict[BoundedProtocol, None] = OrderedDict()

    def admit(self, connection: BoundedProtocol, address: str) -> bool:
        """Count a new connection; False: it has to go."""
        too_many = self._of_address[address] >= self._most_of_one and address not in self._proxies
        if too_many and not self._make_room(address):
            return False
        if len(self._open) >= self._most and not self._make_room(None):
            return False
        self._open[connection] = address
        self._of_address[address] += 1
        return True

    def waits(self, connection: BoundedProtocol) -> None:
        """It has nothing to answer."""
        if connection in self._open:
            self._waiting[connection] = None

    def works(self, connection: BoundedProtocol) -> None:
        """A request of it is being answered."""
        self._waiting.pop(connection, None)

    def forget(self, connection: BoundedProtocol) -> None:
        """It has gone."""
        self._waiting.pop(connection, None)
        if (address := self._open.pop(connection, None)) is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _make_room(self, address: str | None) -> bool:
        oldest = next((each for each in self._waiting if address in (None, self._open[each])), None)
        if oldest is None:
            return False
        self.forget(oldest)
        oldest.cut()
        return True


class BoundedProtocol(H11Protocol):
    """One connection, with a deadline for the head of each request."""

    def __init__(self, bounds: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        if self._bounds.admit(self, self.client[0] if self.client else ""):
            self._wait(HEAD_SECONDS)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._bounds.works(self)
            self._disarm()

    def on_response_complete(self) -> None:
        """See uvicorn. A pipelined request may be under way already when it returns."""
        self._wait(KEEP_ALIVE_SECONDS + HEAD_SECONDS)
        super().on_response_complete()
        if not self.cycle.response_complete:
            self._bounds.works(self)
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._disarm()
        self._stop_watching()
        self._bounds.forget(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._stop_watching()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say as problem details what no request was."""
        details = respond(Problem(400, msg).details)
        headers = [*details.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(details.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def cut(self) -> None:
        """End it now."""
        self._disarm()
        self.transport.abort()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader()
        else:
            self.cut()

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait(self, seconds: float) -> None:
        self._bounds.waits(self)
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self.cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
