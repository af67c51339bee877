"""``python -m tests.soak``: see `make soak`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import httpx
import typer

os.environ["SEAMLINE_TEST_SERVERS"] = "packages"  # servers that can be hung and whose disks can be changed

from tests.soak.books import Books, close_books, moments
from tests.soak.faults import FAULTS
from tests.soak.line import Line, opened, wait_for_services
from tests.soak.plan import STEP_SECONDS, Step, draw
from tests.soak.report import Happened, Run, write
from tests.soak.watch import RECOVERY_SECONDS, Watch

WARM_UP = 60
BURST = 400
"""Frames by which the capacity is measured."""
SHARE = 0.7
"""Of the capacity of one worker that the cameras ask for."""
FIRST_SECONDS = 240.0
"""For the first frames, while TensorFlow is loaded."""
SETTLE_SECONDS = 180.0
BOOKS_SECONDS = 90.0
MOST_MINUTES = 240
OVERTIME = 3
"""A run whose recoveries are slow goes on to its last fault, for at most this multiple of its minutes."""


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.5, max=MOST_MINUTES, help="How long faults are injected.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 1,
    folder: Annotated[Path, typer.Option(help="Gets a folder for this run.")] = Path("var/soak"),
    pace: Annotated[float, typer.Option(min=0, help="Frames per second; 0: 70 % of the capacity with one worker.")] = 0,
    most: Annotated[float, typer.Option(min=1, help="The pace is never higher.")] = 60,
    step: Annotated[float, typer.Option(min=5, help="Seconds from fault to fault.")] = STEP_SECONDS,
    only: Annotated[str, typer.Option(help="Names of faults, with commas; all by default.")] = "",
) -> None:
    """Run the whole line on real servers, break it at random, and count every frame at the end."""
    signal.signal(signal.SIGTERM, _end)
    where = folder.resolve() / f"seed-{seed}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    where.mkdir(parents=True)
    with opened(where) as line:
        run = _run(line, Run(seed, minutes, pace, 0.0), most, step, {name for name in only.split(",") if name})
    _tidy(where)
    sys.stdout.write(json.dumps(json.loads((where / "result.json").read_text())) + "\n")
    _say(f"the report: {where / 'report.md'}")
    for problem in run.problems:
        _say(f"PROBLEM {problem}")
    raise SystemExit(0 if run.balanced else 1)


def _run(line: Line, run: Run, most: float, step: float, only: set[str]) -> Run:
    wait_for_services(line)
    watch = Watch(line)
    began = datetime.now(UTC) - timedelta(seconds=watch.now())
    try:
        _warm_up(line, watch)
        if not run.pace:
            run.capacity = _capacity(line, watch)
            run.pace = min(most, SHARE * run.capacity)
        watch.pace = run.pace
        line.start_inference(2)
        line.start_cameras(run.pace)
        if not watch.until(lambda: watch.recovered(0), RECOVERY_SECONDS):
            run.problems.append(f"the line did not come to its pace of {run.pace:.1f} frames/s: {watch.state()}")
        faults = [one for one in FAULTS if (line.own_disk or not one.needs_disk) and (not only or one.name in only)]
        run.left_out = sorted({one.name for one in FAULTS} - {one.name for one in faults})
        plan = draw(run.seed, run.minutes * 60, faults, step)
        start = watch.now()
        _say(f"{run.pace:.1f} frames/s of a capacity of {run.capacity:.1f}; {len(plan)} steps")
        for planned in plan:
            if watch.now() - start > run.minutes * 60 * OVERTIME:
                run.problems.append(f"{len(run.happened)} faults took {OVERTIME} times as long as planned")
                break
            time.sleep(max(0.0, start + planned.at - watch.now()))
            run.happened += _happen(line, watch, planned)
        _settle(line, watch, run)
        books = _close_books(line)
        run.ends, run.stops = line.ends, line.stops
    finally:
        watch.close()
    run.close(books, watch, moments(books.latencies, began))
    write(run, watch, line.folder)
    return run


def _warm_up(line: Line, watch: Watch) -> None:
    """Have some frames inspected and explained: the first ones load the model."""
    _inspect(line, watch, "warm-up", WARM_UP)


def _capacity(line: Line, watch: Watch) -> float:
    """Frames per second of one worker, with everything that comes after it: until the last heatmap."""
    began = time.monotonic()
    _inspect(line, watch, "capacity", BURST)
    return BURST / (time.monotonic() - began)


def _inspect(line: Line, watch: Watch, camera: str, frames: int) -> None:
    images = [path.read_bytes() for path in sorted(line.images.iterdir())]
    done = len(line.injected) + frames
    line.publish((images[:: max(1, len(images) // frames)] * frames)[:frames], camera)
    if not watch.until(
        lambda: bool(watch.looks) and watch.looks[-1].inspected >= done and watch.settled(), FIRST_SECONDS
    ):
        raise TimeoutError(f"{frames} frames were not inspected within {FIRST_SECONDS:.0f} s: {watch.state()}")


def _happen(line: Line, watch: Watch, step: Step) -> list[Happened]:
    """Inject the faults of a step, end each after its time, and wait until the line is whole."""
    began = watch.now()
    lifted: dict[str, float] = {}
    with ExitStack() as blocks:
        for fault, seconds in sorted(step.faults, key=lambda one: -one[1]):  # the shortest ends first
            blocks.callback(_note, lifted, fault.name, watch.now)
            blocks.enter_context(fault.happen(line))
            blocks.callback(_sleep_until, began + seconds, watch.now)
    last, watch.hindrance = watch.now(), ""
    recovered = watch.until(lambda: watch.recovered(last), RECOVERY_SECONDS)
    whole = round(watch.now() - last, 1) if recovered else None
    names = " and ".join(f"{fault.name} ({seconds} s)" for fault, seconds in step.faults)
    outcome = f"NOT WHOLE: {watch.state()}" if whole is None else f"whole after {whole} s"
    _say(f"{began:6.0f} s  {names}: {outcome}; {watch.hindrance or 'at once'}")
    return [Happened(fault.name, began, lifted[fault.name], whole, watch.hindrance) for fault, _ in step.faults]


def _note(lifted: dict[str, float], name: str, now: Callable[[], float]) -> None:
    lifted[name] = now()


def _sleep_until(moment: float, now: Callable[[], float]) -> None:
    time.sleep(max(0.0, moment - now()))


def _settle(line: Line, watch: Watch, run: Run) -> None:
    """Stop the cameras, and wait until nothing is on its way."""
    line.stop_cameras()
    if not watch.until(watch.settled, SETTLE_SECONDS):
        run.problems.append(f"frames were still on their way {SETTLE_SECONDS:.0f} s after the cameras: {watch.state()}")


def _close_books(line: Line) -> Books:
    """Count until the books balance, for a while: the last segments of the archive are still being written."""
    deadline = time.monotonic() + BOOKS_SECONDS
    while True:
        is_last = time.monotonic() > deadline
        try:
            if not (books := close_books(line)).problems or is_last:
                return books
        except httpx.HTTPError:  # a busy dashboard answers 503
            if is_last:
                raise
        time.sleep(1)


def _tidy(where: Path) -> None:
    """Keep the report and the logs."""
    for name in ("rabbitmq/data", "redis", "s3/objects", "outbox", "outbox-2"):
        shutil.rmtree(where / name, ignore_errors=True)


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    typer.run(main)
