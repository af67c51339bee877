"""Measure the cost of having every frame on the disk before it is sent: ``python -m benchmarks.outbox [FOLDER]``.

Writes frames of three sizes into the outbox of the camera on the disk of FOLDER (default: here) and confirms them, as
it does; beside it the same table with sixteen frames per commit, and without waiting for the disk.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from ulid import ULID

from services.camera.outbox import Outbox
from shared.messages import FrameCaptured, FrameIdentity, frame_id

SIZES = {"20 KB": 20_000, "100 KB": 100_000, "1 MB": 1_000_000}
CONFIRMED_TOGETHER = 16
BYTES_WRITTEN = 150_000_000
MOST_FRAMES = 2_000


@dataclass(frozen=True)
class Measured:
    """Frames per second, and how long the camera waited for one of them, in milliseconds."""

    per_second: float
    median: float
    p99: float


def frame_of(size: int) -> FrameCaptured:
    """Return a frame whose image has a number of bytes."""
    identity = FrameIdentity(
        frame_id=frame_id(str(ULID()), 0), line="line-1", camera="camera-1", captured_at=datetime.now(UTC)
    )
    return FrameCaptured(frame=identity, encoding="jpeg", width=640, height=480, image=os.urandom(size))


@contextmanager
def the_outbox(folder: Path) -> Iterator[Callable[[list[FrameCaptured]], None]]:
    """The camera's outbox: one commit per frame, on the disk before it returns."""
    with Outbox(folder / "outbox.sqlite", str(ULID()), frames_limit=10**9, bytes_limit=10**12) as outbox:
        kept = 0

        def keep(frames: list[FrameCaptured]) -> None:
            nonlocal kept
            for frame in frames:
                outbox.add(frame)
            kept += len(frames)
            if kept >= CONFIRMED_TOGETHER:
                waiting, position = [], 0
                while one := outbox.after(position):
                    waiting.append(one)
                    position = one.position
                outbox.confirm(waiting)
                kept = 0

        yield keep


@contextmanager
def plain_table(folder: Path, synchronous: str) -> Iterator[Callable[[list[FrameCaptured]], None]]:
    """The same table alone, with one commit for the frames of a call."""
    with closing(sqlite3.connect(folder / f"{synchronous}.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {synchronous}")
        database.execute("CREATE TABLE frames (position INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)")
        kept = 0

        def keep(frames: list[FrameCaptured]) -> None:
            nonlocal kept
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO frames (body) VALUES (?)", [(frame.encode(),) for frame in frames])
            database.execute("COMMIT")
            kept += len(frames)
            if kept >= CONFIRMED_TOGETHER:
                database.execute("SELECT position, body FROM frames ORDER BY position").fetchall()
                database.execute("DELETE FROM frames")
                kept = 0

        yield keep


def measure(keep: Callable[[list[FrameCaptured]], None], size: int, together: int) -> Measured:
    """Store frames until enough bytes are written."""
    frame = frame_of(size)
    rounds = min(MOST_FRAMES, BYTES_WRITTEN // size) // together
    waits = []
    began = time.perf_counter()
    for _ in range(rounds):
        since = time.perf_counter()
        keep([frame] * together)
        waits.append((time.perf_counter() - since) * 1000)
    seconds = time.perf_counter() - began
    percentiles = quantiles(waits, n=100)
    return Measured(rounds * together / seconds, percentiles[49], percentiles[98])


def main() -> None:
    """Print one line for each way and size."""
    where = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    ways: dict[str, tuple[Callable[[Path], object], int]] = {
        "the outbox (disk, each frame)": (the_outbox, 1),
        "table, disk, each frame": (lambda folder: plain_table(folder, "FULL"), 1),
        "table, disk, 16 per commit": (lambda folder: plain_table(folder, "FULL"), 16),
        "table, not waiting for the disk": (lambda folder: plain_table(folder, "NORMAL"), 1),
    }
    print(f"{'':33}{'frame':>8}{'per second':>12}{'median ms':>11}{'p99 ms':>9}")
    for name, (open_way, together) in ways.items():
        for label, size in SIZES.items():
            with tempfile.TemporaryDirectory(dir=where) as folder, open_way(Path(folder)) as keep:  # type: ignore[attr-defined]
                found = measure(keep, size, together)
            print(f"{name:33}{label:>8}{found.per_second:>12.0f}{found.median:>11.2f}{found.p99:>9.1f}")


if __name__ == "__main__":
    main()
