"""A camera on a small disk that is full: run as a process of its own, in a mount namespace that ends with it.

``unshare --mount python -m tests.full_disk FOLDER`` writes what it found as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from shared.vision.codec import encode
from tests.broker_address import BrokerAddress
from tests.camera_process import SECONDS, CameraProcess, Line
from tests.processes import wait_until

MEGABYTES = 12
NOWHERE = {"CAMERA_BROKER_URL": "amqp://127.0.0.1:9/nowhere", "CAMERA_BROKER_USER": "u", "CAMERA_BROKER_PASSWORD": "p"}


def unshare() -> list[str]:
    """The command that lets another one mount, for root and for others."""
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def noisy_pictures(folder: Path, count: int = 10) -> Path:
    """PNG files of about 150 kB each."""
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (200, 250, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode(noise, "png"))
    return folder


def frames_on(disk: Path) -> int:
    """The frames that the outbox on a disk holds."""
    for database in disk.glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as opened, suppress(sqlite3.OperationalError):
            return int(opened.execute("SELECT count(*) FROM frames").fetchone()[0])
    return 0


def _fill(path: Path) -> None:
    """Take what is left, as another program does."""
    with path.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 1024)


def main(folder: Path) -> None:
    disk = folder / "outbox"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", disk], check=True)
    settings = {
        "CAMERA_SOURCE": str(noisy_pictures(folder / "pictures")),
        "CAMERA_ENCODING": "png",
        "CAMERA_PACE": "fast",
    }
    first = CameraProcess(folder, {**settings, **NOWHERE, "CAMERA_AT_END": "loop", "CAMERA_WINDOW": "512"})
    wait_until(lambda: "refusing frames" in first.log.read_text(), SECONDS, "the disk to be full")
    first.kill()
    _fill(disk / "of-another-program")
    waited = frames_on(disk)

    address = BrokerAddress(f"sqlite:///{folder}/broker")
    line = Line(address.open())
    second = CameraProcess(folder, {**settings, **address.environment("CAMERA_")})
    line.take_until_finished(sessions=2)
    code = second.wait()
    ends = sorted(line.finished.values(), key=lambda report: report.session)
    found = {
        "exit code": code,
        "waited": waited,
        "sent": [len(line.sequences(report.session)) for report in ends],
        "captured": [report.captured for report in ends],
        "refused": [report.refused for report in ends],
        "left": frames_on(disk),
        "bytes": sum(path.stat().st_size for path in disk.glob("*.sqlite*")),
        "reserve": [path.name for path in disk.glob("*.reserve")],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
