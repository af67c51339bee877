"""Measure what a model with labels finds of a defect that it has never seen, and what that costs per image.

    python -m benchmarks.unlike_good [--pack aitex_fabric] [--label broken_yarn] [--rounds 7]

All images with the label are left out of the training, and are inspected afterwards: how many of them the labels call
NG anyway, and how many of the others are unlike anything good. The overkill is that of good images out of fold. The
processor time of an image is measured in turn with and without the memory, on one thread, in a batch of 8.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import keras
import numpy as np
import typer

from benchmarks.good_only import Silent, milliseconds
from benchmarks.packs import BATCH, DATA, PACKS, Data
from services.inference.model import load_model
from services.trainer.cli.train_and_evaluate import read_images, spec_of
from services.trainer.training.build import build
from shared.contracts.bundle import EVALUATION
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.datasets.labelled_images import Dataset
from shared.explain.network import read_network
from shared.explain.probes import LABELS
from shared.imaging.codec import decode
from shared.messages import Verdict
from shared.recipe import Recipe, read_recipe

COLUMNS = (
    *("pack, hidden label", "images of it", "NG by the labels", "unlike anything good", "passed in silence"),
    *("good images unlike good", "AUROC", "variants", "ms/image", "ms/image without", "minutes"),
)


def main(
    *,
    data: Data = DATA,
    pack: str = "aitex_fabric",
    label: str = "broken_yarn",
    rounds: Annotated[int, typer.Option(min=1, help="How often the time of an image is measured.")] = 7,
) -> None:
    """Print a table of one line."""
    images, recipe = read_images(data / pack, None, read_recipe(PACKS[pack]).task, None)
    seen, known, hidden = without(images, recipe, label)
    began = perf_counter()
    with TemporaryDirectory() as scratch:
        options = TrainingOptions(report=False, mistakes=0)
        bundle = build(spec_of(seen, known, next(iter(ARCHITECTURES)), options), Path(scratch), Silent()).bundle
    minutes = (perf_counter() - began) / 60
    worker = load_model(bundle, "openvino", 1, BATCH)
    inputs = [worker.prepare(decode(path.read_bytes())) for path in hidden]
    judged = [worker.judge(worker.run(np.stack(inputs[at : at + BATCH]))) for at in range(0, len(inputs), BATCH)]
    judgements = [each for batch in judged for each in batch]
    ng = sum(each.verdict is Verdict.NG for each in judgements)
    unlike = sum(each.findings["anomaly"].unsure for each in judgements)
    evaluation = json.loads(bundle.file(EVALUATION))
    anomaly = evaluation["valid"]["labels"]["anomaly"]
    confusion, (low, high) = anomaly["confusion"], anomaly["intervals"]["roc_auc"]
    good = confusion["false_positive"] + confusion["true_negative"]
    network = read_network(bundle)
    plain = keras.Model(network.input, network.get_layer(LABELS).output, name="labels alone")
    times = milliseconds([network, plain], known.image, rounds)
    cells = (
        *(f"{pack}, {label}", f"{len(hidden)}", f"{ng}", f"{unlike}", f"{len(hidden) - ng - unlike}"),
        f"{confusion['false_positive']} of {good}",
        f"{anomaly['roc_auc']:.2f} ({low:.2f} – {high:.2f})",
        " ".join(sorted(name.removeprefix("openvino_") for name in evaluation["compiled"])),
        *(f"{times[0]:.1f}", f"{times[1]:.1f}", f"{minutes:.1f}"),
    )
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n| {' | '.join(cells)} |")


def without(images: Dataset, recipe: Recipe, label: str) -> tuple[Dataset, Recipe, list[Path]]:
    """Return the images without a label, the recipe without it, and the files of the images that have it."""
    column = images.label_names.index(label)
    kept = [number for number in range(len(images.label_names)) if number != column]
    examples = tuple(
        replace(each, labels=tuple(each.labels[number] for number in kept))
        for each in images.examples
        if not each.labels[column]
    )
    names = tuple(images.label_names[number] for number in kept)
    known = recipe.model_copy(update={"labels": tuple(each for each in recipe.labels if each.name != label)})
    hidden = [each.image for each in images.examples if each.labels[column]]
    return replace(images, label_names=names, examples=examples), known, hidden


if __name__ == "__main__":
    typer.run(main)
