"""When certificates expire."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import Any, cast


def expiry_of(file: Path) -> float:
    """Return the Unix time at which the first certificate of a PEM file expires; not a number if it can't be read.

    `ssl` decodes certificates of peers alone. Its decoder of files is not documented, and its own tests use it.
    """
    decode = cast("Any", ssl)._ssl._test_decode_cert
    try:
        return float(ssl.cert_time_to_seconds(decode(file)["notAfter"]))
    except (OSError, ssl.SSLError):
        return math.nan
