"""The pictures as a training takes them: shuffled, augmented and normalised while the network is busy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from services.trainer.augmentation import augment
from services.trainer.pixels import PixelStore, Rows
from shared.recipe import Augmentation
from shared.vision.preprocessing import normalise


class Feed:
    """Batches of one part of a dataset. The same seed gives the same batches, in a resumed training too."""

    def __init__(self, store: PixelStore, rows: Rows, allowed: Augmentation, *, batch: int, seed: int):
        self._store = store
        self._rows = rows
        self._allowed = allowed
        self._batch = batch
        self._seed = seed

    @property
    def batches_per_epoch(self) -> int:
        """The last one may be smaller."""
        return -(-len(self._rows) // self._batch)

    def epochs(self, first: int, last: int) -> tf.data.Dataset:
        """All batches from epoch ``first`` up to, not including, ``last``: pictures and labels, float32."""
        size, width = self._store.pixels.shape[1:], self._store.labels.shape[1]

        def load(epoch: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pictures, labels = tf.numpy_function(self._load, [epoch, rows], (tf.float32, tf.float32))
            return tf.ensure_shape(pictures, (None, *size)), tf.ensure_shape(labels, (None, width))

        def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
            rows = tf.ensure_shape(tf.numpy_function(self._shuffled, [epoch], tf.int64), (None,))
            return tf.data.Dataset.from_tensor_slices(rows).batch(self._batch).map(lambda batch: (epoch, batch))

        batches = tf.data.Dataset.range(first, last).flat_map(rows_of)
        return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def _shuffled(self, epoch: np.int64) -> Rows:
        return np.random.default_rng([self._seed, int(epoch)]).permutation(self._rows)

    def _load(self, epoch: np.int64, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A batch; each picture is changed by lots of its own, so threads may take turns as they like."""
        pictures = []
        for row in rows:
            rng = np.random.default_rng([self._seed, int(epoch), int(row)])
            pictures.append(normalise(augment(self._store.pixels[row], self._allowed, rng), self._store.picture))
        return np.stack(pictures), self._store.labels[rows]
