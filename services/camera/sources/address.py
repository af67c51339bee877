"""Read the address of a network camera, and show it without its secrets."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from services.camera.errors import CameraError

WEB_SCHEMES: Final = ("http", "https")
SCHEMES: Final = (*WEB_SCHEMES, "rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")
"""The other schemes of FFmpeg are not allowed: some of them read files of this machine."""
ADDRESS_STARTS: Final = ", ".join(f"{scheme}://" for scheme in SCHEMES)
SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=:|$)")
"""A scheme has two characters at least: one letter and a colon begin a path of Windows."""
ENCODE_HINT: Final = (
    "in its user and password, write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, ] as %5D and % as %25"
)


def is_address(source: str) -> bool:
    """Return whether a source is reached over the network."""
    return "://" in source


def redacted(source: str) -> str:
    """Return a source that may be shown: the user information, the path and the query of an address may hold passwords.

    The text is cut before it is parsed: a password may hold ``/``, ``?``, ``#``, ``[`` or ``@``. Where an ``@`` stands
    behind one of the first three, nothing tells whether a password or the path goes on there, and no host is shown.
    """
    scheme, separator, rest = source.partition("://")
    if separator:
        scheme = scheme if SCHEME.fullmatch(scheme) else "…"  # such as a quotation mark before it
        authority, *further = re.split(r"[/?#]", rest, maxsplit=1)
        if any("@" in text for text in further):
            return f"{scheme}://…"
        return f"{scheme}://{authority.rpartition('@')[2]}" + ("/…" if any(further) else "")
    if ":" in source and SCHEME.match(source):
        return f"{source.partition(':')[0]}:…"
    shown, question, hidden = source.partition("?")
    if "@" in hidden:
        return "…"
    _, at, end = shown.rpartition("@")
    return (f"…@{end}" if at else shown) + ("?…" if question else "")


def read_address(source: str) -> str:
    """Return an address as FFmpeg reads it: with its scheme in lower case.

    Raises:
        CameraError: it can't be an address, or has a scheme that cameras do not have.
    """
    scheme, _, rest = source.partition("://")
    address = f"{scheme.lower()}://{rest}"
    if scheme.lower() not in SCHEMES:
        raise CameraError(f"{redacted(source)} is no address of a camera: such an address starts with {ADDRESS_STARTS}")
    try:
        parts = urlsplit(address)
        has_host = bool(parts.port or parts.hostname)
    except ValueError:
        has_host = False
    if not has_host:
        raise CameraError(f"{redacted(source)} can't be read as an address: {ENCODE_HINT}")
    return address


def hint(source: str) -> str:
    """Return what else may be wrong with an address that does not answer; empty if nothing can be said."""
    rest = source.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"; {ENCODE_HINT}" if "@" in rest and "@" not in authority else ""
