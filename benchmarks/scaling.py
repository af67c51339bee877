"""Measure how verdicts per second grow with workers: 1, 2, … processes of the inference service on one RabbitMQ.

    python -m benchmarks.scaling [--frames 600] [--rounds 5] [--most 2]

Each round measures one thread that decodes, prepares and infers in a loop, and then every number of workers, in turn,
so that whatever else the machine does affects all of them alike. The frames are sent when every worker has reported
its model; the rate is that from the first verdict to the last one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from samples.still import draw_seam
from services.inference.model import load_model
from shared.contracts.bundle import Bundle, read_bundle_folder
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import prepare
from shared.messages import WorkerReported
from shared.storage.filesystem import FilesystemStore
from shared.topology import DASHBOARD_REPORTS
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.models import captured, promote
from tests.servers import start_rabbitmq
from tests.workers import Line

BATCH: Final = 16
SIZE: Final = 480
LOOP_SECONDS: Final = 3.0


def loop_rate(bundle: Bundle, images: Sequence[bytes]) -> float:
    """Return the frames per second of one thread, without a broker."""
    model = load_model(bundle, "openvino", threads=1, largest_batch=BATCH)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < LOOP_SECONDS:
        batch = [images[(done + place) % len(images)] for place in range(BATCH)]
        model.engine.logits(np.stack([prepare(decode(image), bundle.recipe.image) for image in batch]))
        done += BATCH
    rate = done / (time.perf_counter() - began)
    model.unload()
    return rate


def worker_rate(address: BrokerAddress, folder: Path, bundle: Bundle, images: Sequence[bytes], workers: int) -> float:
    """Return the frames per second of a number of workers, each in a process of its own."""
    folder.mkdir()
    line = Line(address, folder)
    promote(FilesystemStore(line.objects), bundle)
    reports = Collector(line.broker, DASHBOARD_REPORTS, WorkerReported)
    jpeg = {"encoding": "jpeg", "width": SIZE, "height": SIZE}
    frames = [captured(number, image).model_copy(update=jpeg) for number, image in enumerate(images)]
    with ExitStack() as running:
        for _ in range(workers):
            settings = {"RECIPE": bundle.recipe.name, "BATCH": str(BATCH), "THREADS": "1", "REPORT_SECONDS": "0.3"}
            running.enter_context(line.running("inference", **settings))
        reports.until(lambda told: len({report.worker for report in told if report.model_version}) == workers, 120)
        line.send(*frames)
        verdicts = sorted(verdict.at for verdict in line.judged(len(frames)))
    line.broker.close()
    return len(verdicts) / (verdicts[-1] - verdicts[0]).total_seconds()


def main(
    frames: Annotated[int, typer.Option(min=100, help="Frames of each measurement.")] = 600,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    most: Annotated[int, typer.Option(min=1, help="The largest number of workers.")] = os.cpu_count() or 1,
    bundle_folder: Annotated[Path, typer.Option("--bundle", help="The model.")] = Path("samples/model"),
) -> None:
    """Print the table."""
    bundle = read_bundle_folder(bundle_folder)
    drawn = [encode(draw_seam(seed, size=SIZE).image, "jpeg") for seed in range(32)]
    images = [drawn[number % len(drawn)] for number in range(frames)]
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoint, server = start_rabbitmq(folder / "rabbitmq")
        try:
            for turn in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
                rates["one thread in a loop"].append(loop_rate(bundle, images))
                for workers in range(1, most + 1):
                    run = f"{turn}-{workers}"
                    login = (endpoint.user, endpoint.password)
                    httpx.put(f"{endpoint.management_url}/api/vhosts/{run}", auth=login, timeout=60).raise_for_status()
                    address = BrokerAddress(f"amqp://{endpoint.host}:{endpoint.port}/{run}", *login)
                    rate = worker_rate(address, folder / run, bundle, images, workers)
                    rates[f"{workers} workers" if workers > 1 else "1 worker"].append(rate)
        finally:
            server.remove()
    base = statistics.median(rates["1 worker"])
    print("| | frames/s, median | least to most | times 1 worker |\n|---|---|---|---|")
    for what, measured in rates.items():
        median = statistics.median(measured)
        print(f"| {what} | {median:.0f} | {min(measured):.0f} to {max(measured):.0f} | {median / base:.2f} |")


if __name__ == "__main__":
    typer.run(main)
