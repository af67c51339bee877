"""Aravis's own fake GigE Vision camera, on loopback.

GigE Vision has one port, 3956, so that one fake camera at a time runs on a machine: a lock makes others wait.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from services.camera.sources.aravis import aravis
from tests.processes import ChildServer
from tests.servers import program

NAME: Final = "Aravis-Fake-SEAM1"
"""Vendor, model and serial number, as cameras are listed."""
SIZE: Final = (512, 512)
LOCK: Final = Path(tempfile.gettempdir()) / "seamline-tests-gige-vision.lock"


@contextmanager
def fake_camera(folder: Path, *, lost_packets_per_thousand: float = 0) -> Iterator[ChildServer]:
    """Run a fake camera that loses packets at random, while the block runs."""
    command: list[str | Path] = [
        program("arv-fake-gv-camera-0.8", "aravis-tools"),
        *("--interface", "127.0.0.1", "--serial", NAME.rpartition("-")[2]),
        *("--gvsp-lost-ratio", str(lost_packets_per_thousand)),
    ]
    server = ChildServer(command, folder / "genicam.log", lambda: NAME in aravis().cameras())
    with FileLock(LOCK):
        server.start()
        try:
            yield server
        finally:
            server.remove()
