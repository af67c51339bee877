"""Measure Seamline's way against that of the first seam inspection: ``python -m benchmarks.original [--rounds 5]``.

The first seam inspection read each image with `cv2.imread`, scaled it, and asked Keras's `predict` for it alone. Both
ways begin with the same JPEG files, and run the same network (`seam-resnet`, 100 x 100 pixels), with the threads of
TensorFlow's and OpenVINO's choice. The weights are random, because the speed does not depend on them; the table also
says how far the probabilities of both ways are apart.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import keras
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.comparison import Rounds, Target
from benchmarks.inference import make_int8
from samples.still import draw_seam
from services.trainer.architectures.registry import ARCHITECTURES
from shared.engines.compile import CompiledVariant, compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import prepare
from shared.recipe import ImageSpec, Task
from shared.verdict import scores_of

SPEC: Final = ImageSpec(height=100, width=100, normalisation="unit")
LABELS: Final = 4
BATCH: Final = 16
SIDE: Final = 480
MEASURE_SECONDS: Final = 2.0

Logits = NDArray[np.float32]


def infer_one_by_one(network: keras.Model, files: Sequence[Path]) -> Logits:
    """Inspect files as the first seam inspection did."""
    answers = []
    for file in files:
        image = cv2.cvtColor(np.asarray(cv2.imread(str(file))), cv2.COLOR_BGR2RGB)
        scaled = cv2.resize(image, (SPEC.width, SPEC.height), interpolation=cv2.INTER_AREA)
        answers.append(network.predict(scaled[np.newaxis].astype(np.float32) / 255, verbose=0))
    return np.concatenate(answers)


def infer_in_batches(engine: OpenVinoEngine, files: Sequence[Path]) -> Logits:
    """Inspect files as a worker does."""
    return engine.logits(np.stack([prepare(decode(file.read_bytes()), SPEC) for file in files]))


def rate(work: Callable[[], Any], images: int) -> float:
    """Return the images per second of a piece of work."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < MEASURE_SECONDS:
        work()
        done += images
    return done / (time.perf_counter() - began)


def open_engine(variant: CompiledVariant) -> OpenVinoEngine:
    """Return the engine of a variant, with a thread on each core as TensorFlow has."""
    return OpenVinoEngine(variant.xml, variant.weights)


def main(rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5) -> None:
    """Print the measured figures and the ratio of each target."""
    network = ARCHITECTURES["seam-resnet"].build(SPEC, LABELS)
    compiled = compile_for_openvino(network)
    engines = {"fp32": open_engine(compiled), "int8": open_engine(make_int8(compiled, SPEC))}
    rates = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{seed}.jpg") for seed in range(BATCH)]
        for seed, file in enumerate(files):
            file.write_bytes(encode(draw_seam(seed, size=SIDE).image, "jpeg"))
        expected = scores_of(infer_one_by_one(network, files), Task.MULTI_LABEL)
        for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
            rates.add("imread and predict, one by one", rate(partial(infer_one_by_one, network, files[:4]), 4))
            for name, engine in engines.items():
                rates.add(f"batches of {BATCH}, {name}", rate(partial(infer_in_batches, engine, files), BATCH))
        for name, engine in engines.items():
            apart = np.abs(scores_of(infer_in_batches(engine, files), Task.MULTI_LABEL) - expected).max()
            print(f"{name}: probabilities differ by {apart:.4f} at most\n")
    targets = [
        Target(f"{name} : one by one", f"batches of {BATCH}, {name}", "imread and predict, one by one", wanted)
        for name, wanted in (("fp32", 1.0), ("int8", 14.0))
    ]
    print(f"{rates.figures('images/s')}\n\n{rates.ratios(targets)}")


if __name__ == "__main__":
    typer.run(main)
