"""Parse the address of a network camera, and redact its secrets for logs and errors."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from services.camera.errors import CameraError

WEB_SCHEMES: Final = ("http", "https")
CAMERA_SCHEMES: Final = (*WEB_SCHEMES, "rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp")
"""Schemes of network cameras. FFmpeg's other schemes are refused, because some of them read files of this machine."""
UNSUPPORTED_SCHEMES: Final = ("srt", "rist", "whep", "webrtc", "mms", "mmsh", "ndi", "onvif")
"""Schemes of network cameras that OpenCV's FFmpeg does not read."""
ADDRESS_STARTS: Final = ", ".join(f"{scheme}://" for scheme in CAMERA_SCHEMES)
SCHEME_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=:|$)")
"""The scheme of any address. It requires two characters, so that ``C:`` of a Windows path is no scheme."""
ENCODE_HINT: Final = (
    "in its user and password, write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, ] as %5D and % as %25"
)


def is_address(source: str) -> bool:
    """Return whether a source is a network address."""
    return "://" in source


def redacted(source: str) -> str:
    """Return a source without the parts that may contain passwords, for logs and errors.

    Of an address, only the scheme, host and port are shown. Of a local path, the text before an ``@`` and after a ``?``
    is left out.

    The text is cut without a parser, because a password may contain ``/``, ``?``, ``#``, ``[`` or ``@``. If an ``@``
    follows a ``/``, ``?`` or ``#``, it can belong to a password or to the path, so the host is not shown either.
    """
    scheme, separator, rest = source.partition("://")
    if separator:
        scheme = scheme if SCHEME_PATTERN.fullmatch(scheme) else "…"  # such as one with a quotation mark before it
        authority, *further = re.split(r"[/?#]", rest, maxsplit=1)
        if any("@" in text for text in further):
            return f"{scheme}://…"
        return f"{scheme}://{authority.rpartition('@')[2]}" + ("/…" if any(further) else "")
    if ":" in source and SCHEME_PATTERN.match(source):
        return f"{source.partition(':')[0]}:…"
    shown, question, hidden = source.partition("?")
    if "@" in hidden:
        return "…"
    _, at, end = shown.rpartition("@")
    return (f"…@{end}" if at else shown) + ("?…" if question else "")


def checked_address(source: str) -> str:
    """Check an address, and return it with its scheme in lower case, as FFmpeg requires.

    Raises:
        CameraError: the text is not an address, its scheme is not one of `CAMERA_SCHEMES`, or its host or port is
            missing or invalid.
    """
    scheme, _, rest = source.partition("://")
    address = f"{scheme.lower()}://{rest}"
    if scheme.lower() in UNSUPPORTED_SCHEMES:
        raise CameraError(
            f"{redacted(source)} can't be read, because OpenCV's FFmpeg has no {scheme.lower()}: let the camera or a "
            "media server send the stream over RTSP, HLS or UDP, and give that address"
        )
    if scheme.lower() not in CAMERA_SCHEMES:
        raise CameraError(
            f"{redacted(source)} is not the address of a camera: such an address starts with {ADDRESS_STARTS}"
        )
    try:
        parts = urlsplit(address)
        has_host = bool(parts.port or parts.hostname)
    except ValueError:
        has_host = False
    if not has_host:
        raise CameraError(f"the host or port of {redacted(source)} is missing or invalid: {ENCODE_HINT}")
    return address


def encoding_hint(source: str) -> str:
    """Return advice for an address that does not answer and whose password may need escapes; else an empty text."""
    rest = source.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"; {ENCODE_HINT}" if "@" in rest and "@" not in authority else ""
