"""Measure the memory of each service on a running line: ``python -m benchmarks.memory [--seconds 60] [--pace 10]``.

The services run as processes on a RabbitMQ, a Redis and an S3 server of their own; one frame in twenty shows a defect.
The memory is what is resident in all processes of a service; the trainer has no training meanwhile.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import psutil
import typer

from tests.soak.line import Part, opened, wait_for_services

PAUSE_SECONDS: Final = 1.0
MEGABYTE: Final = 1e6


def resident(part: Part) -> float:
    """Return the memory of the processes of a service, in MB."""
    process = psutil.Process(part.server.pid)
    return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))) / MEGABYTE


def main(
    seconds: Annotated[float, typer.Option(min=5, help="How long the line runs while it is measured.")] = 60.0,
    pace: Annotated[float, typer.Option(min=0.1, help="Frames per second of both cameras together.")] = 10.0,
) -> None:
    """Print the table."""
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder, "line")) as line:
        line.start("gateway-1", FOLDER=Path(folder, "gateway"))
        wait_for_services(line)
        line.start_cameras(pace)
        wait_for_services(line)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for part in line.parts.values():
                measured.setdefault(part.name, []).append(resident(part))
            time.sleep(PAUSE_SECONDS)
        if line.ends:
            raise RuntimeError(f"a service ended while it was measured: {line.ends[0]}")
        line.stop_cameras()
        if line.own_disk:
            subprocess.run(["umount", line.folder / "outbox"], check=True)
    print("| service | MB, median | most |\n|---|---|---|")
    for name, values in sorted(measured.items()):
        print(f"| {name} | {median(values):.0f} | {max(values):.0f} |")


if __name__ == "__main__":
    typer.run(main)
