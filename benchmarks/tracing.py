"""Measure what traces cost a worker: processor time of a frame and of the start, without and with a collector.

    python -m benchmarks.tracing [--rounds 5]

A frame is traced as by an inference worker: its capture, its wait, four steps, and its verdict. The collector runs in
the same process, so that its time is measured too.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Annotated, Final

import typer

from benchmarks.comparison import Rounds
from shared.messages import Message
from shared.messaging import traces
from shared.messaging.port import Delivery, EncodedMessage
from tests.messages import captured, identity, inspected
from tests.spans import traced

FRAMES: Final = 1_000
STEPS: Final = ("fetch", "decode", "infer", "store")
SHARES: Final = {"no collector": "", "one frame of 20 traced": "0.05", "every frame traced": "1"}
IMPORTS: Final = {
    "start of a service, imports alone": "import shared.service",
    "the same with a collector": "import shared.service, shared.tracing.otlp",
}


class Confirming:
    """A publisher that confirms at once."""

    def publish(self, _message: Message | EncodedMessage) -> Future[None]:
        """Confirm a message."""
        confirmed: Future[None] = Future()
        confirmed.set_result(None)
        return confirmed

    def close(self) -> None:
        """Do nothing."""


def frame_microseconds(share: str) -> float:
    """Return the processor time of the spans of a frame, where this share of the frames is traced."""
    publisher, frames = Confirming(), [(identity(number), captured(number)) for number in range(FRAMES)]
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    with traced(**sampled) if share else nullcontext():
        began = time.process_time()
        for number, (frame, message) in enumerate(frames):
            with traces.capturing(frame) as trace:
                headers = trace.headers
            batch = traces.begin_batch("inference.frames", [traces.receive(Delivery(b"", 1, headers=headers), message)])
            with batch.handling():
                for step in STEPS:
                    with batch.step(step):
                        pass
            batch.publish(publisher, inspected(number))
            batch.answered()
            batch.end()
        return (time.process_time() - began) / FRAMES * 1e6


def import_milliseconds(statement: str) -> float:
    """Return the processor time of a process that imports something."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main(rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5) -> None:
    """Print the processor times."""
    frames, starts = Rounds(), Rounds()
    for share in SHARES.values():
        frame_microseconds(share)
    for _ in range(rounds):
        for what, share in SHARES.items():
            frames.add(what, frame_microseconds(share))
        for what, statement in IMPORTS.items():
            starts.add(what, import_milliseconds(statement))
    print(f"{frames.figures('µs of processor time a frame')}\n\n{starts.figures('ms of processor time')}")


if __name__ == "__main__":
    typer.run(main)
