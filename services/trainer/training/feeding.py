"""The images as a training takes them: shuffled, augmented and normalised while the network is busy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from services.trainer.training.augmentation import augment
from services.trainer.training.cluster import ALONE, Seat
from shared.imaging.preprocessing import normalise
from shared.recipe import Augmentation


class UnevenBatch(TrainerError):
    """Batches that can't be shared evenly."""


class Feed:
    """Batches of one part of a dataset. The same seed gives the same batches, in a resumed training too.

    Of processes that learn together, each gets its share of every batch, as many images as the others. The last batch
    of an epoch, where it can't be shared so, is given whole to all of them: they learn the same from it, and what they
    learn is averaged.
    """

    def __init__(
        self, store: PixelStore, rows: Rows, allowed: Augmentation, *, batch: int, seed: int, seat: Seat = ALONE
    ):
        """Of the images ``rows``, ``batch`` in a step of all processes together.

        Raises:
            UnevenBatch: so many can't be shared evenly.
        """
        if batch % seat.workers:
            raise UnevenBatch(f"{seat.workers} workers can't share {batch} images: give a multiple as batch_size")
        self._seat = seat
        self._store = store
        self._rows = rows
        self._allowed = allowed
        self._batch = batch
        self._seed = seed

    @property
    def batch_sizes(self) -> list[int]:
        """How many images all processes together see, step by step of an epoch; the last time maybe fewer."""
        return [min(self._batch, len(self._rows) - at) for at in range(0, len(self._rows), self._batch)]

    def epochs(self, first: int, last: int) -> tf.data.Dataset:
        """What this process gets of all batches from epoch ``first`` up to, not including, ``last``.

        Images and labels, float32.
        """
        size, width = self._store.pixels.shape[1:], self._store.labels.shape[1]

        def load(epoch: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = tf.numpy_function(self._load, [epoch, rows], (tf.float32, tf.float32))
            return tf.ensure_shape(images, (None, *size)), tf.ensure_shape(labels, (None, width))

        def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
            rows = tf.ensure_shape(tf.numpy_function(self._shuffled, [epoch], tf.int64), (None,))
            return tf.data.Dataset.from_tensor_slices(rows).batch(self._batch).map(lambda batch: (epoch, batch))

        batches = tf.data.Dataset.range(first, last).flat_map(rows_of)
        return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def _shuffled(self, epoch: np.int64) -> Rows:
        return np.random.default_rng([self._seed, int(epoch)]).permutation(self._rows)

    def _load(self, epoch: np.int64, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Its share of a batch; each image is changed by lots of its own, so threads may take turns as they like."""
        images = []
        if len(rows) % self._seat.workers == 0:
            rows = rows[self._seat.index :: self._seat.workers]
        for row in rows:
            rng = np.random.default_rng([self._seed, int(epoch), int(row)])
            images.append(normalise(augment(self._store.pixels[row], self._allowed, rng), self._store.image))
        return np.stack(images), self._store.labels[rows]
