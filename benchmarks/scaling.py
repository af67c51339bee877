"""Measure inference workers on RabbitMQ against the bare engine and against the machine's limit.

    python -m benchmarks.scaling [--rounds 5] [--frames 640] [--most 2]

1, 2, … workers run as processes. Each round measures everything in turn, so that whatever else the machine does affects
all of it alike, and the ratios are those of the same round:

- the bare engine on prepared images, one thread;
- one thread that decodes, prepares and infers in a loop, and such a loop in one process for each core at once;
- every number of workers up to ``--most``, on frames that wait in the queue;
- one worker and two workers, each held to one core;
- the time from capture to verdict of one worker at half of its rate;
- the time from the start of a worker to its first verdict.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.comparison import Rounds, Target
from benchmarks.workers import BATCH, SIDE, BrokerServer, Workers
from samples.still import draw_seam
from services.inference.model import load_model
from shared.contracts.bundle import Bundle, read_bundle_folder
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import prepare

LOOP_SECONDS: Final = 3.0
IMAGE_COUNT: Final = 32
LATENCY_SECONDS: Final = 4.0

ENGINE: Final = "bare engine on prepared images, one thread"
LOOP: Final = "decode, prepare, infer in a loop, one thread"
LOOPS: Final = "the same loop in a process for each core"
LIMIT: Final = "cores × the loop in one thread"
HELD_ONE: Final = "1 worker held to a core"
HELD_TWO: Final = "2 workers held to a core each"


def draw_images() -> list[bytes]:
    """Return different images of seams, as JPEG."""
    return [encode(draw_seam(seed, size=SIDE).image, "jpeg") for seed in range(IMAGE_COUNT)]


def engine_rate(bundle: Bundle, images: Sequence[bytes]) -> tuple[float, float]:
    """Return the frames per second of the bare engine on prepared images, and its processor time in ms/frame."""
    prepared = np.stack([prepare(decode(image), bundle.recipe.image) for image in images])
    batches = [np.ascontiguousarray(prepared[start : start + BATCH]) for start in range(0, len(prepared), BATCH)]
    return _rate(bundle, lambda number: batches[number % len(batches)])


def loop_rate(bundle: Bundle, images: Sequence[bytes]) -> tuple[float, float]:
    """Return the same of one thread that decodes, prepares and infers, without a broker."""

    def batch(number: int) -> np.ndarray:
        some = [images[(number * BATCH + place) % len(images)] for place in range(BATCH)]
        return np.stack([prepare(decode(image), bundle.recipe.image) for image in some])

    return _rate(bundle, batch)


def loops_rate(bundle: Bundle, images: Sequence[bytes]) -> float:
    """Return the frames per second of the loop in a process for each core, all at once."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.starmap(loop_rate, [(bundle, images)] * cores, chunksize=1)  # imports and warms up
        return sum(rate for rate, _ in pool.starmap(loop_rate, [(bundle, images)] * cores, chunksize=1))


def _rate(bundle: Bundle, batch: Callable[[int], np.ndarray]) -> tuple[float, float]:
    model = load_model(bundle, "openvino", threads=1, largest_batch=BATCH)
    turns, began, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < LOOP_SECONDS:
        model.engine.logits(batch(turns))
        turns += 1
    frames = turns * BATCH
    measured = frames / (time.perf_counter() - began), (time.process_time() - processor) * 1000 / frames
    model.unload()
    return measured


def worker_title(workers: int) -> str:
    """Return the name of a number of workers."""
    return f"{workers} workers" if workers > 1 else "1 worker"


def main(
    frames: Annotated[int, typer.Option(min=160, help="Frames of each measurement.")] = 640,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    most: Annotated[int, typer.Option(min=1, help="Largest number of workers.")] = os.cpu_count() or 1,
    bundle_folder: Annotated[Path, typer.Option("--bundle", help="Folder of the model.")] = Path("samples/model"),
) -> None:
    """Print the measured figures and the ratio of each target."""
    bundle, images = read_bundle_folder(bundle_folder), draw_images()
    sent = [images[number % len(images)] for number in range(frames)]
    cores = os.cpu_count() or 1
    sets: dict[str, list[int | None]] = {worker_title(workers): [None] * workers for workers in range(1, most + 1)}
    if cores > 1:
        sets |= {HELD_ONE: [0], HELD_TWO: [0, 1]}
    rates, costs, waits = Rounds(), Rounds(), Rounds()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = BrokerServer(Path(folder))
        stack.callback(server.remove)
        started = Workers(server, "started", bundle, [None])
        running = {
            name: stack.enter_context(Workers(server, f"line-{number}", bundle, held).running())
            for number, (name, held) in enumerate(sets.items())
        }
        for workers in running.values():
            workers.inspect(sent[: 4 * BATCH])
        for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
            (engine, engine_ms), (loop, loop_ms) = engine_rate(bundle, images), loop_rate(bundle, images)
            for what, rate in ((ENGINE, engine), (LOOP, loop), (LIMIT, cores * loop)):
                rates.add(what, rate)
            costs.add(ENGINE, engine_ms)
            costs.add(LOOP, loop_ms)
            rates.add(LOOPS, loops_rate(bundle, images))
            measured = {name: workers.inspect(sent) for name, workers in running.items()}
            for name, found in measured.items():
                rates.add(name, found.frames_per_second)
                costs.add(f"{name}: workers", found.worker_ms)
                costs.add(f"{name}: RabbitMQ", found.broker_ms)
            half = measured[worker_title(1)].frames_per_second / 2
            latencies = running[worker_title(1)].latencies(sent[: int(half * LATENCY_SECONDS)], half)
            waits.add("capture to verdict at half load, p50", median(latencies))
            waits.add("capture to verdict at half load, p99", quantiles(latencies, n=100)[98])
            waits.add("3 × the time of a batch + 20 ms", 3 * 1000 * BATCH / engine + 20)
            waits.add("start of a worker to its first verdict", 1000 * started.seconds_to_the_first_verdict(images[0]))
            waits.add("2 s", 2000.0)
    _print(rates, costs, waits, most, title=f"{bundle.manifest.architecture}, {SIDE} x {SIDE}, {cores} cores")


def _print(rates: Rounds, costs: Rounds, waits: Rounds, most: int, title: str) -> None:
    cores = os.cpu_count() or 1
    targets = [Target("1 worker : bare engine", worker_title(1), ENGINE, 0.95)]
    if most >= cores:
        targets.append(Target("as many workers as cores : cores × the loop", worker_title(cores), LIMIT, 0.88))
    if cores > 1:
        targets.append(Target("2 workers held to a core each : 1", HELD_TWO, HELD_ONE, 1.8))
    late = Target(
        "p99 at half load : 3 × a batch + 20 ms",
        "capture to verdict at half load, p99",
        "3 × the time of a batch + 20 ms",
        1,
        at_most=True,
    )
    start = Target("start of a worker : 2 s", "start of a worker to its first verdict", "2 s", 1, at_most=True)
    print(f"{title}\n\n{rates.figures('frames/s')}\n\n{rates.ratios(targets)}\n")
    print(f"{costs.figures('processor ms/frame')}\n\n{waits.figures('ms')}\n\n{waits.ratios([late, start])}")


if __name__ == "__main__":
    typer.run(main)
