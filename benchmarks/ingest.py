"""Measure how fast the dashboard takes verdicts from RabbitMQ: ``python -m benchmarks.ingest [--rounds 5]``.

Verdicts are published one by one. The dashboard's own ingest then applies them to a Redis, counts each once, writes the
archive, and acknowledges; it takes as many at once as have arrived. Beside it the counting alone, one verdict per call
and 500 verdicts per call, in the same round.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.comparison import Rounds
from benchmarks.counting import BATCH, facts, rate, redis_server
from benchmarks.workers import BrokerServer
from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.queue_ingest import QueueIngest
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from shared.storage.filesystem import FilesystemStore
from shared.topology import DASHBOARD_VERDICTS
from tests.processes import wait_until
from tests.verdicts import Line as Verdicts
from tests.workers import Line

SINGLE = 1_000
BATCHED = 20_000


def ingest_rate(line: Line, projection: Projection, settings: DashboardSettings, count: int) -> float:
    """Return the verdicts per second from the queue into the counts and the archive, each counted once."""
    verdicts = Verdicts()
    line.send(*verdicts.verdicts(count))
    before = projection.counting.total(verdicts.name).inspected
    archive = Archive(
        FilesystemStore(line.objects),
        seconds=settings.segment_seconds,
        messages=settings.segment_messages,
        written=projection.projector.watermark.note_written,
    )
    stop = threading.Event()
    ingest = QueueIngest(
        line.broker, DASHBOARD_VERDICTS, projection.projector, archive, prefetch=settings.prefetch, stop=stop
    )
    began = time.perf_counter()
    ingest.start(stop.set)
    total = projection.counting.total
    wait_until(lambda: total(verdicts.name).inspected - before >= count or stop.is_set(), 300, "the sink", 0.05)
    seconds = time.perf_counter() - began
    stop.set()
    ingest.join(60)
    counted = total(verdicts.name).inspected - before
    if ingest.failure or counted != count:
        raise RuntimeError(f"{counted} of {count} verdicts were counted: {ingest.failure}")
    return count / seconds


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    verdicts: Annotated[int, typer.Option(min=100, help="Verdicts of each measurement from the queue.")] = 10_000,
) -> None:
    """Print the table."""
    rates = Rounds()
    with tempfile.TemporaryDirectory() as name, redis_server() as url:
        server = BrokerServer(Path(name))
        try:
            settings = DashboardSettings(redis_url=url, redis_prefix="benchmark")
            projection = Projection(open_redis(settings), Keys("benchmark"), settings)
            for round_number in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
                rates.add("counting, one verdict per call", rate(projection.counting, facts(SINGLE), 1))
                rates.add(f"counting, {BATCH} verdicts per call", rate(projection.counting, facts(BATCHED), BATCH))
                line = server.line(f"sink-{round_number}")
                rates.add("the whole sink, from the queue", ingest_rate(line, projection, settings, verdicts))
        finally:
            server.remove()
    print(rates.figures("verdicts/s"))


if __name__ == "__main__":
    typer.run(main)
