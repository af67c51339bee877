"""Hosts and ports of IPv4 and IPv6."""

from __future__ import annotations

import socket


def listening_family(host: str, port: int) -> socket.AddressFamily:
    """Return the address family of a host to listen on: IPv4, unless the host has only an address of IPv6.

    Raises:
        OSError: the host has no address.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = [each[0] for each in found]
    return socket.AF_INET if socket.AF_INET in families else families[0]


def host_and_port(host: str, port: int) -> str:
    """Return ``HOST:PORT``; an address of IPv6 is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
