"""Shuffle, augment and normalise the images of a training in background threads."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from services.trainer.training.augmentation import augment
from services.trainer.training.cluster import SINGLE, Rank
from shared.imaging.preprocessing import normalise
from shared.recipe import Augmentation


class UnevenBatch(TrainerError):
    """The ranks can't share a batch evenly."""


class Feed:
    """The batches of one split. The same seed gives the same batches, also in a resumed training.

    If several ranks train together, each gets an equal share of each batch. If the last batch of an epoch can't be
    shared evenly, each rank gets the whole batch; the average of the ranks' gradients is then that of the batch.
    """

    def __init__(
        self, store: PixelStore, rows: Rows, augmentation: Augmentation, *, batch: int, seed: int, rank: Rank = SINGLE
    ):
        """Make batches of images.

        Args:
            store: all images.
            rows: the images of the split.
            augmentation: the random changes of each image.
            batch: the number of images in one training step, over all ranks.
            seed: determines the order of the images and their augmentation.
            rank: this process among those that train together.

        Raises:
            UnevenBatch: ``batch`` is not a multiple of the number of ranks.
        """
        if batch % rank.size:
            raise UnevenBatch(f"{rank.size} workers can't share {batch} images: give a multiple as batch_size")
        self._rank = rank
        self._store = store
        self._rows = rows
        self._augmentation = augmentation
        self._batch = batch
        self._seed = seed

    @property
    def batch_sizes(self) -> list[int]:
        """The number of images in each step of an epoch, of all ranks together; the last number may be smaller."""
        return [min(self._batch, len(self._rows) - start) for start in range(0, len(self._rows), self._batch)]

    def epochs(self, first: int, stop: int) -> tf.data.Dataset:
        """Return this rank's share of all batches from epoch ``first`` up to, not including, ``stop``.

        An element is (images, labels) of one batch, both float32: normalised images (images, height, width, channels),
        and labels (images, labels), 0 or 1.
        """
        size, width = self._store.pixels.shape[1:], self._store.labels.shape[1]

        def shuffle(epoch: np.int64) -> Rows:
            return np.random.default_rng([self._seed, int(epoch)]).permutation(self._rows)

        def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
            rows = tf.ensure_shape(tf.numpy_function(shuffle, [epoch], tf.int64), (None,))
            return tf.data.Dataset.from_tensor_slices(rows).batch(self._batch).map(lambda batch: (epoch, batch))

        def load(epoch: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = tf.numpy_function(self._load, [epoch, rows], (tf.float32, tf.float32))
            return tf.ensure_shape(images, (None, *size)), tf.ensure_shape(labels, (None, width))

        batches = tf.data.Dataset.range(first, stop).flat_map(rows_of)
        return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def _load(self, epoch: np.int64, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the images and labels of this rank's share of a batch.

        The augmentation of an image is determined by the seed, the epoch and the row.
        """
        images = []
        if len(rows) % self._rank.size == 0:
            rows = rows[self._rank.index :: self._rank.size]
        for row in rows:
            rng = np.random.default_rng([self._seed, int(epoch), int(row)])
            images.append(normalise(augment(self._store.pixels[row], self._augmentation, rng), self._store.image))
        return np.stack(images), self._store.labels[rows]
