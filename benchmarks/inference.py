"""What a verdict costs: OpenVINO in fp32 and int8 against TensorFlow, batch by batch, on one network in one run.

    python -m benchmarks.inference [--architecture compact] [--size 128] [--rounds 15]

Everything is measured in turn, round by round, so that whatever else the machine does hits all alike; each number is
the median of its rounds. Processor time counts all threads, and says what a frame costs even on a busy machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from samples.still import draw_seam
from services.inference.tensorflow_engine import TensorFlowEngine
from services.trainer.architectures.registry import ARCHITECTURES
from services.trainer.datasets.pixels import PixelStore
from services.trainer.training.packing import keras_file
from services.trainer.variants.quantise import quantise
from shared.engines.compile import CompiledVariant, compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Engine
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import prepare
from shared.recipe import ImageSpec

BATCHES = (1, 2, 4, 8, 16, 32)
LABELS = 4
CALIBRATION_IMAGES = 16
MEASURE_SECONDS = 0.3
"""Shortest duration of one measurement."""


@dataclass
class Measured:
    """One engine, with its runs per second and the processor time of each run."""

    name: str
    frames: int
    work: Callable[[], object]
    per_second: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Run it for at least the shortest duration."""
        self.work()
        done, began, processor = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < MEASURE_SECONDS:
            self.work()
            done += self.frames
        self.per_second.append(done / (time.perf_counter() - began))
        self.milliseconds.append((time.process_time() - processor) / done * 1000)

    def row(self, reference: Measured) -> str:
        """Return a line of the table."""
        rate, cost = statistics.median(self.per_second), statistics.median(self.milliseconds)
        ratio = cost / statistics.median(reference.milliseconds)
        return f"| {self.name} | {self.frames} | {cost:.2f} | {ratio:.2f} | {rate:.0f} |"


def infer_padded(engine: Engine, images: NDArray[np.float32], size: int) -> object:
    """Return a batch filled up with empty images, for a network of a fixed batch size."""
    batch = np.zeros((size, *images.shape[1:]), np.float32)
    batch[: len(images)] = images
    return engine.logits(batch)[: len(images)]


def make_int8(compiled: CompiledVariant, spec: ImageSpec) -> CompiledVariant:
    """Return the int8 variant. Its ranges come from noise, and do not affect its cost."""
    pixels = np.random.default_rng(0).integers(0, 256, (CALIBRATION_IMAGES, *spec.shape), np.uint8)
    store = PixelStore(pixels, np.zeros((CALIBRATION_IMAGES, LABELS), np.float32), spec, "")
    return quantise(compiled, store, np.arange(CALIBRATION_IMAGES))


def measurements(
    openvino: Engine, int8: Engine, on_all_cores: Engine, tensorflow: Engine, spec: ImageSpec
) -> list[Measured]:
    """Return everything that is compared."""
    noise = np.random.default_rng(0)
    jpeg = encode(draw_seam(0, size=480).image, "jpeg")
    images = noise.normal(size=(max(BATCHES), spec.height, spec.width, 3)).astype(np.float32)
    engines = {"OpenVINO": openvino, "OpenVINO, int8": int8, "TensorFlow": tensorflow}
    judged = [
        Measured(name, size, partial(engine.logits, images[:size]))
        for name, engine in engines.items()
        for size in BATCHES
    ]
    return [
        *judged,
        Measured("OpenVINO, a thread on each core", 1, partial(on_all_cores.logits, images[:1])),
        Measured("OpenVINO, a thread on each core", 16, partial(on_all_cores.logits, images[:16])),
        Measured("OpenVINO, 5 padded to 16", 5, partial(infer_padded, openvino, images[:5], 16)),
        Measured("OpenVINO, 5 as they are", 5, partial(openvino.logits, images[:5])),
        Measured("decode and prepare a JPEG of 480 x 480", 1, lambda: prepare(decode(jpeg), spec)),
    ]


def main(
    architecture: Annotated[str, typer.Option(help="Architecture of the trainer.")] = "compact",
    size: Annotated[int, typer.Option(help="Height and width of the images, in pixels.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 1,
) -> None:
    """Print the table."""
    spec = ImageSpec(height=size, width=size)
    network = ARCHITECTURES[architecture].build(spec, LABELS)
    compiled = compile_for_openvino(network)
    openvino = OpenVinoEngine(compiled.xml, compiled.weights, threads)
    small = make_int8(compiled, spec)
    int8 = OpenVinoEngine(small.xml, small.weights, threads)
    on_all_cores = OpenVinoEngine(compiled.xml, compiled.weights)
    tensorflow = TensorFlowEngine(keras_file(network), threads)
    measured = measurements(openvino, int8, on_all_cores, tensorflow, spec)
    for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
        for one in measured:
            one.measure()
    _print(measured, f"{architecture}, {size} x {size}, {threads} thread: {openvino.name}, {tensorflow.name}")


def _print(measured: Sequence[Measured], title: str) -> None:
    print(f"{title}\n\n| | batch | processor ms/frame | times OpenVINO one by one | frames/s |\n|---|---|---|---|---|")
    for one in measured:
        print(one.row(measured[0]))


if __name__ == "__main__":
    typer.run(main)
