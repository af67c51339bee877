"""Certificates for tests, made by the command that makes them for a plant."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.servers import DEPLOY


def make_certificates(folder: Path, *words: str) -> Path:
    """An authority of its own, and a certificate for every container, in ``folder``."""
    subprocess.run([DEPLOY / "make-certs", folder, *words], check=True, capture_output=True)
    return folder


def shown_by(service: str, certificates: Path) -> dict[str, Any]:
    """The settings of a service that trusts the authority and shows its own certificate."""
    own = certificates / service
    return {"tls_ca": own / "ca.crt", "tls_cert": own / "public.crt", "tls_key": own / "private.key"}
