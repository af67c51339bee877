"""Run a network over images, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import keras
import numpy as np

from services.trainer.datasets.pixels import PixelStore, Rows
from shared.engines.port import Engine, Logits

BATCH: Final = 64


def logits_of(network: keras.Model, store: PixelStore, rows: Rows) -> Logits:
    """Return the outputs of a Keras network: (rows, labels)."""
    return np.concatenate([np.asarray(network.predict_on_batch(store.prepared(batch))) for batch in batches(rows)])


def engine_logits(engine: Engine, store: PixelStore, rows: Rows) -> Logits:
    """Return the outputs of an inference engine: (rows, labels)."""
    return np.concatenate([engine.logits(store.prepared(batch)) for batch in batches(rows)])


def batches(rows: Rows) -> Iterator[Rows]:
    """Yield the rows in groups that fit into memory as images."""
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
