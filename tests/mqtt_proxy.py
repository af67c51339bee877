"""A connection to an MQTT broker that loses the acknowledgements of a client, and breaks when the test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.processes import free_port

PUBACK = 4


class MqttProxy:
    """Forwards connections to a broker on this machine. While `loses_acknowledgements`, the broker gets none."""

    def __init__(self, host: str, broker_port: int) -> None:
        self.port = free_port()
        self.loses_acknowledgements = False
        self._broker_port = broker_port
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, self.port), family=family)
        threading.Thread(target=self._accept, daemon=True).start()

    def break_connections(self) -> None:
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.break_connections()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                self._open += [client, broker]
                for forward, pair in ((self._to_broker, (client, broker)), (self._to_client, (broker, client))):
                    threading.Thread(target=forward, args=pair, daemon=True).start()

    def _to_client(self, broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), broker, client:
            while chunk := broker.recv(65_536):
                client.sendall(chunk)

    def _to_broker(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError), client.makefile("rb") as packets:
            while first := packets.read(1):
                header, length, shift = first, 0, 0
                while True:  # the length of the rest: seven bits in each byte, the low ones first
                    header += (byte := packets.read(1))
                    length |= (byte[0] & 0x7F) << shift
                    shift += 7
                    if not byte[0] & 0x80:
                        break
                packet = header + packets.read(length)
                if first[0] >> 4 != PUBACK or not self.loses_acknowledgements:
                    broker.sendall(packet)
