"""A dataset version of painted images, and models that are evaluated on a part of it: see `tests.models`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from services.trainer.datasets.held_out import held_out
from shared.contracts.bundle import EVALUATION, OPENVINO, OPENVINO_WEIGHTS, Bundle, Variant, write_bundle
from shared.contracts.dataset import DatasetVersion
from shared.contracts.scores import ScoredImages, ScoredSplit, as_table
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.engines.openvino import OpenVinoEngine
from shared.imaging.codec import encode
from shared.imaging.preprocessing import prepare
from shared.storage.port import ObjectStore
from shared.verdict import scores_of
from tests.models import BIAS, COLOURS, pack, paint_bundle, painted
from tests.strokes import write_table

LABELS: Final = ("good", "error", "break", "length")
TRUTH: Final = {
    "black": (True, False, False, False),
    "blue": (False, True, False, False),
    "green": (False, False, True, False),
    "red": (True, False, False, True),
}
BLIND_TO_BREAKS: Final = BIAS + np.array([100, 0, -100, 0], np.float32)
"""Takes a part with a break for a good one."""
ALARMED: Final = BIAS + np.array([0, 0, 100, 0], np.float32)
"""Finds a break in every image."""


def painted_version(store: ObjectStore, folder: Path, each: int = 20) -> DatasetVersion:
    """``each`` images of every colour, no two alike, as a version of the dataset ``paint``."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for colour in COLOURS:
        for number in range(each):
            image = painted(colour)
            image[number, number] = 128
            (folder / "images" / f"{colour}-{number}.png").write_bytes(encode(image, "png"))
            rows.append((f"{colour}-{number}.png", *TRUTH[colour]))
    write_table(folder / "labels.csv", ("name", *LABELS), rows)
    return import_dataset(read_dataset(folder, LABELS), store, "paint", by="ada", source=str(folder)).version


def comparable(
    version: str, dataset: DatasetVersion, bias: np.ndarray = BIAS, *, learned: int = 5, changed: int = 0
) -> Bundle:
    """A bundle that was trained on the first ``learned`` images of each colour, and is evaluated on the others."""
    parts: dict[str, list[tuple[object, ...]]] = {"train": [], "valid": [], "test": []}
    for image in dataset.images:
        known = int(image.name.partition("-")[2].removesuffix(".png")) < learned
        parts["train" if known else "test"].append((image.name, *image.labels))
    columns = ",".join(("name", *dataset.label_names))
    tables = {
        f"{part}.csv": "\n".join([columns, *(",".join(map(str, row)) for row in rows)]).encode()
        for part, rows in parts.items()
    }
    bundle = paint_bundle(version, bias=bias)
    equality = {
        "images": 100,
        "largest_score_difference": 1e-6,
        "changed_verdicts": changed,
        "macro_average_precision": 1.0,
    }
    evaluation = json.dumps({"compiled": {"openvino_fp32": equality}}).encode()
    made = pack({**bundle.files, **tables, EVALUATION: evaluation}, bundle.recipe, version, "features")
    return Bundle(made.manifest.model_copy(update={"dataset": dataset.reference}), made.files)


def scores_of_bundle(bundle: Bundle, store: ObjectStore) -> ScoredImages:
    """The scores of the test images, as those of both splits, and of the fp32 variant."""
    test = held_out(bundle, store)
    images = np.stack([prepare(image, bundle.recipe.image) for image in test.read(store, slice(None))])
    with closing(OpenVinoEngine(bundle.file(OPENVINO), bundle.file(OPENVINO_WEIGHTS))) as engine:
        scores = as_table(scores_of(engine.logits(images), bundle.recipe.task))
    part = ScoredSplit(
        names=tuple(image.name for image in test.images),
        groups=tuple(test.groups),
        truth=as_table(test.truth),
        scores=scores,
    )
    return ScoredImages(
        labels=bundle.recipe.label_names, splits={"valid": part, "test": part}, variants={Variant.FP32: scores}
    )


def put(store: ObjectStore, *bundles: Bundle) -> None:
    """Keep bundles in object storage."""
    for bundle in bundles:
        write_bundle(store, bundle.manifest, bundle.files)
