"""Measure models that learn from good images alone, on real packs of images.

    python -m benchmarks.good_only [--pack bsdata_pitting]… [--rounds 7]

Each image is scored by the good images of the other folds, which are grouped; all that learns is done in each fold.
Heatmaps are compared with the masks of NG images, none of which is learned from. The processor time of an image is
measured in turn with that of the network that learns labels, on one thread, and is that of an image in a batch of 8.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import keras
import numpy as np
import typer

from benchmarks.inference import Measured
from benchmarks.packs import BATCH, DATA, PACKS, Data, Packs
from services.trainer.architectures.registry import architecture_of
from services.trainer.cli.train_and_evaluate import read_images, spec_of
from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import folds
from services.trainer.evaluation.evaluate import evaluate
from services.trainer.evaluation.threshold_choice import choose_thresholds
from services.trainer.heatmaps.evaluation import images_with_masks
from services.trainer.training.good_only import fit_good_only
from shared.contracts.bundle import DISTANCE, DISTANCES, HeatmapSpec
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.datasets.good_only import ANOMALY
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.explain.metrics import score_heatmaps
from shared.explain.probes import subject_of
from shared.recipe import ImageSpec, read_recipe
from shared.verdict import scores_of

DEFAULT = next(iter(ARCHITECTURES))
WITH_VERDICTS = ("bsdata_pitting", "aitex_fabric", "elpv", "pcb_multilabel")
COLUMNS = (
    *("pack", "good, NG", "AUROC", "overkill (allowed: 5 %)", "escapes", "pointing (centre)", "minutes"),
    f"ms/image (`{DEFAULT}`)",
)
OPTIONS = TrainingOptions(good_only=True)


class Silent:
    """Reports no progress."""

    def on_stage(self, stage: str) -> None:
        """Report nothing."""

    def on_share(self, share: float) -> None:
        """Report nothing."""

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        """Report nothing."""

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        """Report nothing."""


def main(
    *,
    data: Data = DATA,
    pack: Packs = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often the time of an image is measured.")] = 7,
) -> None:
    """Print a line for each pack."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in pack or WITH_VERDICTS:
        print(f"| {' | '.join((name, *cells_of(data / name, rounds)))} |", flush=True)


def cells_of(pack: Path, rounds: int) -> tuple[str, ...]:
    """Return the line of a pack, without its name."""
    images, drafted = read_images(pack, None, read_recipe(PACKS[pack.name]).task, None)
    spec = spec_of(images, drafted, DEFAULT, OPTIONS).settled()
    began = perf_counter()
    with TemporaryDirectory() as scratch:
        dataset, store = decode_images(spec.images, spec.recipe.image, Path(scratch))
        groups = [example.group for example in dataset.examples]
        rows, fold_of = np.arange(len(groups)), folds(dataset.examples, seed=0)
        trained = fit_good_only(spec.recipe.image, store, rows, fold_of, OPTIONS, listener=Silent())
    minutes = (perf_counter() - began) / 60
    scores = scores_of(trained.memory.out_of_fold[:, np.newaxis], spec.recipe.task)
    recipe, points = choose_thresholds(spec.recipe, store.labels, scores, groups)
    label = evaluate(recipe, store.labels, scores, groups).labels[ANOMALY]
    low, high = label.intervals["roc_auc"]
    subject = subject_of(trained.network, recipe, HeatmapSpec(method=DISTANCE, layers=(DISTANCES,)))
    maps = score_heatmaps(subject, images_with_masks(dataset.examples, recipe), most_curves=1).labels.get(ANOMALY)
    other = architecture_of(DEFAULT).build(drafted.image, len(drafted.labels))
    times = milliseconds([trained.network, other], drafted.image, rounds)
    point = points.of_model if points else None
    return (
        f"{label.n - label.positives}, {label.positives}",
        f"{label.roc_auc:.2f} ({low:.2f} – {high:.2f})",
        f"{point.overkill_rate:.1%}" if point else "",
        f"{point.escape_rate:.1%}" if point else "",
        f"{maps.pointing.value:.2f} ({maps.centre.value:.2f})" if maps else "",
        f"{minutes:.1f}",
        f"{times[0]:.1f} ({times[1]:.1f})",
    )


def milliseconds(networks: list[keras.Model], image: ImageSpec, rounds: int) -> list[float]:
    """Return the median processor time of an image for each network."""
    images = np.random.default_rng(0).normal(size=(BATCH, *image.shape)).astype(np.float32)
    measured = []
    for network in networks:
        compiled = compile_for_openvino(network)
        engine = OpenVinoEngine(compiled.xml, compiled.weights, threads=1)
        measured.append(Measured(network.name, BATCH, partial(engine.logits, images)))
    for _ in range(rounds):
        for each in measured:
            each.measure()
    return [median(each.milliseconds) for each in measured]


if __name__ == "__main__":
    typer.run(main)
