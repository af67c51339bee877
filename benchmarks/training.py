"""Measure a training against that of the first seam inspection: ``python -m benchmarks.training [--rounds 3]``.

The first seam inspection fed Keras from a generator that read each image of a batch with `cv2.imread`, scaled it,
changed its brightness and contrast, moved a strip, and normalised it. Both ways train the same network on the same JPEG
files with the same batches, for one epoch after one that warms up. The third row trains on one batch that stays in
memory, in the precision that Seamline chooses on this machine: what the cores can do when they never wait for images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import keras
import numpy as np
import tensorflow as tf
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.comparison import Rounds, Target
from samples.still import draw_seam
from services.trainer.architectures.registry import ARCHITECTURES
from services.trainer.datasets.pixels import PixelStore
from services.trainer.training.augmentation import move_strip, relight
from services.trainer.training.feeding import Feed
from services.trainer.training.fit import make_optimizer
from services.trainer.training.loss import loss_of
from services.trainer.training.precision import clone_in_precision, compute_config, with_loss_scaling
from shared.contracts.training import Precision, TrainingOptions
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import resize
from shared.recipe import Augmentation, ImageSpec, Task

SPEC: Final = ImageSpec(height=100, width=100)
LABELS: Final = 4
BATCH: Final = 20
SIDE: Final = 480
ORIGINAL, SEAMLINE, IN_MEMORY = "generator of the first seam inspection", "Seamline", "one batch in memory"

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Images (images, height, width, channels) and labels (images, labels)."""


class Generator(keras.utils.PyDataset):  # type: ignore[misc]
    """Reads the images of each batch when it is asked for, as the first seam inspection did."""

    def __init__(self, files: Sequence[Path], truth: NDArray[np.float32]) -> None:
        super().__init__()
        self._files = files
        self._truth = truth
        self._random = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self._files) // BATCH

    def __getitem__(self, number: int) -> Batch:
        rows = range(number * BATCH, (number + 1) * BATCH)
        return np.stack([self._read(self._files[row]) for row in rows]), self._truth[list(rows)]

    def _read(self, file: Path) -> NDArray[np.float32]:
        image = cv2.cvtColor(np.asarray(cv2.imread(str(file))), cv2.COLOR_BGR2RGB)
        scaled = cv2.resize(image, (SPEC.width, SPEC.height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        scaled = relight(scaled, self._random.uniform(0.8, 1.2), self._random.uniform(0, 15))
        scaled = move_strip(scaled, int(self._random.integers(1, 30)))
        return np.asarray((scaled - scaled.mean()) / scaled.std(), np.float32)


def compiled(architecture: str, truth: NDArray[np.float32], steps: int, precision: Precision) -> keras.Model:
    """Return a network with its optimizer and loss."""
    chosen, options = ARCHITECTURES[architecture], TrainingOptions(batch_size=BATCH)
    policy = compute_config(precision, chosen).precision
    network = clone_in_precision(chosen.build(SPEC, LABELS), policy, 1)
    optimizer = with_loss_scaling(make_optimizer(chosen, options, steps, tuning=False), policy)
    network.compile(optimizer, loss_of(Task.MULTI_LABEL, truth), jit_compile=False)
    return network


def rate(network: keras.Model, batches: Any, steps: int) -> float:
    """Return the images per second of the second of two epochs."""
    clock = EpochClock()
    network.fit(batches, epochs=2, steps_per_epoch=steps, shuffle=False, callbacks=[clock], verbose=0)
    return steps * BATCH / clock.seconds


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures the last epoch, in seconds."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 (names are given by Keras)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.seconds = time.perf_counter() - self._began


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 3,
    architecture: Annotated[str, typer.Option(help="Network.")] = "seam-resnet",
    images: Annotated[int, typer.Option(min=BATCH, help="Images of an epoch, a multiple of 20.")] = 100,
) -> None:
    """Print the measured figures and the ratio of each target."""
    steps = images // BATCH
    truth = np.random.default_rng(0).integers(0, 2, (steps * BATCH, LABELS)).astype(np.float32)
    rates = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{seed}.jpg") for seed in range(steps * BATCH)]
        for seed, file in enumerate(files):
            file.write_bytes(encode(draw_seam(seed, size=SIDE).image, "jpeg"))
        pixels = np.stack([resize(decode(file.read_bytes()), SPEC) for file in files])
        store, rows = PixelStore(pixels, truth, SPEC, ""), np.arange(len(files))
        feed = Feed(store, rows, Augmentation(brightness=True, moved_strip=True), batch=BATCH, seed=0)
        batch = (store.prepared(rows[:BATCH]), truth[:BATCH])
        for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
            generator = Generator(files, truth)
            rates.add(ORIGINAL, rate(compiled(architecture, truth, steps, Precision.FLOAT32), generator, steps))
            rates.add(SEAMLINE, rate(compiled(architecture, truth, steps, Precision.AUTO), feed.epochs(0, 2), steps))
            kept = tf.data.Dataset.from_tensors(batch).repeat()
            rates.add(IN_MEMORY, rate(compiled(architecture, truth, steps, Precision.AUTO), kept, steps))
    policy = compute_config(Precision.AUTO, ARCHITECTURES[architecture]).precision
    print(f"{architecture}, batches of {BATCH}; Seamline trains in {policy}\n")
    print(rates.figures("images/s"), end="\n\n")
    print(rates.ratios([
        Target("Seamline : the generator", SEAMLINE, ORIGINAL, 1.5),
        Target("Seamline : one batch in memory (the cores never wait)", SEAMLINE, IN_MEMORY, 0.95),
    ]))  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
