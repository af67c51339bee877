"""What a model says of its own validation and test images: as its bundle keeps it, or measured again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Final

import numpy as np

from services.trainer.datasets.held_out import HeldBack, Incomparable, held_back
from services.trainer.evaluation.evaluate import Scores
from services.trainer.promotion.comparison import BATCH, StopCheck, prepared
from services.trainer.promotion.gate import Interrupted
from shared.contracts.bundle import VARIANT_FILES, Bundle, Variant
from shared.contracts.scores import ScoredImages, ScoredSplit, as_table, read_scores
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import EngineError
from shared.storage.port import ObjectStore
from shared.verdict import scores_of

PARTS: Final = ("valid", "test")


def scored_images(bundle: Bundle, store: ObjectStore, stopped: StopCheck) -> ScoredImages:
    """The scores of a model.

    A bundle of an older trainer keeps none: then its fp32 variant, which was proven equal to the network, judges the
    images again.

    Raises:
        Incomparable: they are not kept, and the images can't be had.
        BundleError: they can't be read.
        Interrupted: the trainer ends.
        StorageError: of the storage itself.
    """
    return read_scores(bundle) or _measured(bundle, store, stopped)


def _measured(bundle: Bundle, store: ObjectStore, stopped: StopCheck) -> ScoredImages:
    valid, test = (held_back(bundle, store, part) for part in PARTS)
    variants = [variant for variant, files in VARIANT_FILES.items() if all(name in bundle.files for name in files)]
    of_valid = _scores(bundle, variants, valid, store, stopped)
    (of_test,) = _scores(bundle, [Variant.FP32], test, store, stopped)
    return ScoredImages(
        labels=bundle.recipe.label_names,
        splits={"valid": _part(valid, of_valid[variants.index(Variant.FP32)]), "test": _part(test, of_test)},
        variants={variant: as_table(scores) for variant, scores in zip(variants, of_valid, strict=True)},
    )


def _part(images: HeldBack, scores: Scores) -> ScoredSplit:
    return ScoredSplit(
        names=tuple(image.name for image in images.images),
        groups=tuple(images.groups),
        truth=as_table(images.truth),
        scores=as_table(scores),
    )


def _scores(
    bundle: Bundle, variants: Sequence[Variant], images: HeldBack, store: ObjectStore, stopped: StopCheck
) -> list[Scores]:
    """What some variants of a network say of some images: (images, labels) each."""
    said: list[Scores] = []
    try:
        for variant in variants:
            network, weights = VARIANT_FILES[variant]
            with closing(OpenVinoEngine(bundle.file(network), bundle.file(weights))) as engine:
                logits = []
                for at in range(0, len(images.images), BATCH):
                    if stopped():
                        raise Interrupted
                    seen = images.read(store, slice(at, at + BATCH))
                    logits.append(engine.logits(prepared(seen, bundle.recipe)))
            said.append(scores_of(np.concatenate(logits), bundle.recipe.task))
    except EngineError as error:
        raise Incomparable(str(error)) from error
    return said
