"""A camera or a broker on a small disk that is full: a process of its own, in a mount namespace that ends with it.

``unshare --mount python -m tests.full_disk camera|broker|worker FOLDER`` writes what it found as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from shared.imaging.codec import encode
from shared.messaging.port import BrokerUnavailable, Publisher
from shared.messaging.sqlite import SqliteBroker
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.camera_process import SECONDS, CameraProcess, Line
from tests.messages import captured, inspected
from tests.processes import wait_until

MEGABYTES = 12
NOWHERE = {"CAMERA_BROKER_URL": "amqp://127.0.0.1:9/nowhere", "CAMERA_BROKER_USER": "u", "CAMERA_BROKER_PASSWORD": "p"}


def unshare() -> list[str]:
    """The command that lets another one mount, for root and for others."""
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def noisy_images(folder: Path, count: int = 10) -> Path:
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


def _small_disk(disk: Path) -> Path:
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", disk], check=True)
    return disk


def camera(folder: Path) -> dict[str, object]:
    """Fill the disk with frames, kill the camera, start another one."""
    disk = _small_disk(folder / "outbox")
    settings = {
        "CAMERA_SOURCE": str(noisy_images(folder / "images")),
        "CAMERA_ENCODING": "png",
        "CAMERA_PACE": "fast",
    }
    first = CameraProcess(folder, {**settings, **NOWHERE, "CAMERA_AT_END": "loop", "CAMERA_WINDOW": "512"})
    wait_until(lambda: "dropping frames" in first.log.read_text(), SECONDS, "the disk to be full")
    first.kill()
    _fill(disk / "of-another-program")
    waited = frames_on(disk)

    address = BrokerAddress(f"sqlite:///{folder}/broker")
    line = Line(address.open())
    second = CameraProcess(folder, {**settings, **address.environment("CAMERA_")})
    line.take_until_finished(sessions=2)
    code = second.wait()
    ends = sorted(line.finished.values(), key=lambda report: report.session)
    return {
        "exit code": code,
        "waited": waited,
        "sent": [len(line.sequences(report.session)) for report in ends],
        "captured": [report.captured for report in ends],
        "refused": [report.dropped for report in ends],
        "left": frames_on(disk),
        "bytes": sum(path.stat().st_size for path in disk.glob("*.sqlite*")),
        "reserve": [path.name for path in disk.glob("*.reserve")],
    }


def broker(folder: Path) -> dict[str, object]:
    """Fill the disk with frames and with other files, then let a worker of a later start take them."""
    disk = _small_disk(folder / "broker")
    first = SqliteBroker(disk)
    publisher = first.publisher()
    published = 0
    while publisher.publish(captured(published, b"x" * 100_000)).exception(60) is None:
        published += 1
    first.close()
    _fill(disk / "of-another-program")

    second = _patiently(lambda: SqliteBroker(disk))
    reader = _patiently(lambda: second.subscribe(INFERENCE_FRAMES, prefetch=8))
    verdicts, judged = second.publisher(), 0
    while judged < published:
        for _ in (deliveries := _patiently(lambda: reader.receive(8, 1))):
            verdict = inspected(judged)
            _patiently(lambda verdict=verdict: verdicts.publish(verdict).result(60))  # type: ignore[misc]
            judged += 1
        reader.acknowledge(deliveries)
    _patiently(lambda: reader.receive(1, 0))
    refused = verdicts.publish(captured(published, b"x" * 100_000)).exception(60)
    waits = second.depth(DASHBOARD_VERDICTS.name).total
    second.close()
    return {"published": published, "judged": judged, "verdicts": waits, "refused": str(refused or "")}


def worker(folder: Path) -> dict[str, object]:
    """Fill the disk while a worker has frames in hand, then let it answer for them, beside messages that are large."""
    disk = _small_disk(folder / "broker")
    frames = SqliteBroker(disk)
    publisher, reader = frames.publisher(), frames.subscribe(INFERENCE_FRAMES, prefetch=8)
    for number in range(8):
        publisher.publish(captured(number, b"x" * 100_000)).result(60)
    in_hand, number = reader.receive(8, 1), 8
    while publisher.publish(captured(number, b"x" * 100_000)).exception(60) is None:
        number += 1
    _fill(disk / "of-another-program")

    for judged in range(len(in_hand)):
        _patiently(lambda judged=judged: _answer(publisher, judged))  # type: ignore[misc]
    _patiently(lambda: reader.acknowledge(in_hand))
    waits = frames.depth(DASHBOARD_VERDICTS.name).total
    frames.close()
    return {"in hand": len(in_hand), "verdicts": waits}


def _answer(publisher: Publisher, number: int) -> None:
    large = [publisher.publish(captured(1000 + number, b"x" * 100_000)) for _ in range(2)]
    publisher.publish(inspected(number)).result(60)
    assert all(isinstance(refused.exception(60), BrokerUnavailable) for refused in large)


Result = TypeVar("Result")


def _patiently(attempt: Callable[[], Result]) -> Result:
    """As services do: what is unavailable now may be there a moment later."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return attempt()
        except BrokerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"camera": camera, "broker": broker, "worker": worker}[sys.argv[1]](Path(sys.argv[2]))))
