"""Train in one process, or in several processes with one device each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

import keras
import numpy as np
import structlog
import tensorflow as tf
from numpy.typing import NDArray

from services.trainer.errors import TrainerError
from services.trainer.training.cluster import SINGLE, VARIABLE, Rank, WrongCluster, rank_of
from services.trainer.training.feeding import Feed
from services.trainer.training.loss import Loss
from services.trainer.training.precision import FLOAT32, POLICIES, ComputeConfig

LOST: Final = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)
"""The errors that TensorFlow raises if another process of the cluster has ended; they may differ by process."""
DIGITS: Final = 15
"""Hexadecimal digits of a digest that fit into an integer of 64 bits."""

_log = structlog.stdlib.get_logger("training")


class LostWorker(TrainerError):
    """Another process of the cluster has ended, so the training can't continue."""


class UnlikeWorker(TrainerError):
    """A process of the cluster has other images, weights, recipe or options than the chief."""


@dataclass(frozen=True)
class Learner:
    """A model with its optimizer, its loss and its batches."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    """The optimizer, already built for the model."""
    loss: Loss
    feed: Feed


class Workers:
    """The processes that train together, from the view of this process. This class is for one process alone."""

    rank: Rank = SINGLE

    def scope(self) -> AbstractContextManager[object]:
        """Return the context in which the model and its optimizer have to be made."""
        return nullcontext()

    def train(self, learner: Learner, callback: keras.callbacks.Callback, first: int, last: int) -> None:
        """Train some epochs.

        Args:
            learner: the model to train.
            callback: called after each step and epoch; it may stop the training.
            first: the first epoch, from 0.
            last: the epoch before which the training ends.

        Raises:
            LostWorker: another process has ended.
        """
        learner.model.compile(learner.optimizer, learner.loss, jit_compile=False)
        learner.model.fit(
            learner.feed.epochs(first, last),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=len(learner.feed.batch_sizes),
            callbacks=[callback],
            shuffle=False,  # the feed shuffles
            verbose=0,
        )

    def all_gather(self, number: int) -> list[int]:
        """Return the number of each rank, by its index. All ranks have to call this together."""
        numbers = np.zeros(self.rank.size, np.int64)
        numbers[self.rank.index] = number
        return [int(each) for each in self.all_reduce(numbers)]

    def broadcast(self, number: int) -> int:
        """Return the chief's number. All ranks have to call this together."""
        return self.all_gather(number)[0]

    def broadcast_variables(self, variables: Sequence[keras.Variable]) -> None:
        """Assign the chief's values to the variables. All ranks have to call this together."""
        if self.rank.size == 1:
            return
        values = [np.asarray(variable) for variable in variables]
        flat = np.concatenate(
            [value.ravel().astype(np.float64) for value in values]
        )  # float64 also represents the integers exactly
        received = self.all_reduce(flat if self.rank.is_chief else np.zeros_like(flat))
        pieces = np.split(received, np.cumsum([value.size for value in values])[:-1])
        for variable, value, piece in zip(variables, values, pieces, strict=True):
            variable.assign(piece.reshape(value.shape).astype(value.dtype))

    def all_reduce(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of the arrays of all ranks. All ranks have to call this together."""
        return numbers


class ClusterWorkers(Workers):
    """Several processes, each with a replica of the network that learns from its share of each batch.

    ``fit`` of Keras 3 does not run under `tf.distribute.MultiWorkerMirroredStrategy`, so this class has its own loop of
    steps. The optimizer adds the gradients of all replicas.
    """

    def __init__(self, rank: Rank) -> None:
        """Wait until all ranks are connected. Must be called before TensorFlow computes anything.

        Raises:
            WrongCluster: this process can't listen at its address.
            LostWorker: some ranks did not connect.
        """
        self.rank = rank
        gpus = tf.config.list_physical_devices("GPU")[:1]
        tf.config.set_visible_devices(gpus, "GPU")
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(rank.addresses)}),  # worker 0 is the chief to TensorFlow too
            task_type="worker",
            task_id=rank.index,
            num_accelerators={"GPU": len(gpus)},
            rpc_layer="grpc",
        )
        _log.info("waiting for the other workers", workers=rank.size, rank=rank.index, address=rank.address)
        try:
            with _interruptible(), _raising_lost_worker():
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except tf.errors.UnknownError as error:
            raise WrongCluster(f"{VARIABLE}: can't listen at {rank.address}: {_reason(error)}") from error
        self._sum = tf.function(lambda numbers: self._strategy.run(_sum_of_replicas, (numbers,)))

    def scope(self) -> AbstractContextManager[object]:
        scope: AbstractContextManager[object] = self._strategy.scope()
        return scope

    def train(self, learner: Learner, callback: keras.callbacks.Callback, first: int, last: int) -> None:
        sizes = learner.feed.batch_sizes
        callback.set_model(learner.model)
        callback.set_params({"steps": len(sizes)})
        step, batches = self._compile_step(learner), iter(learner.feed.epochs(first, last))
        learner.model.stop_training = False
        for epoch in range(first, last):
            total = 0.0
            for number, size in enumerate(sizes):
                with _raising_lost_worker():
                    total += size * float(step(*next(batches)))
                callback.on_train_batch_end(number, {"loss": total / sum(sizes[: number + 1])})
            callback.on_epoch_end(epoch, {"loss": total / sum(sizes)})
            if learner.model.stop_training:
                return

    def _compile_step(self, learner: Learner) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return a function that does one step with images and labels of this rank, and returns the mean loss."""
        model, optimizer = learner.model, learner.optimizer
        in_float16 = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

        def on_replica(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(learner.loss(labels, model(images, training=True))) / self.rank.size
                scaled = optimizer.scale_loss(loss)
            variables = model.trainable_variables
            gradients = tape.gradient(scaled, variables)
            if in_float16:  # all ranks must agree whether the loss scale is too large
                gradients = [_sum_of_replicas(gradient) / self.rank.size for gradient in gradients]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))  # adds the gradients of all ranks
            return _sum_of_replicas(loss)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            return self._strategy.run(on_replica, (images, labels))

        compiled: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = step
        return compiled

    def all_reduce(self, numbers: NDArray[Any]) -> NDArray[Any]:
        with _raising_lost_worker():
            return np.asarray(self._sum(tf.constant(numbers)))


@contextmanager
def _raising_lost_worker() -> Iterator[None]:
    try:
        yield
    except LOST as error:
        raise LostWorker(
            f"lost another worker of {VARIABLE} ({_reason(error)}): read its output, and start all workers again"
        ) from error


def _sum_of_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """Return the sum of a tensor over all replicas. Must be called in a replica."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(tensor))


def _reason(error: tf.errors.OpError) -> str:
    """Return the line of a TensorFlow error that names the cause."""
    message = str(error.message)
    line = next((line for line in message.splitlines() if "aborted by" in line), message.partition("\n")[0])
    return line.rpartition("}} ")[2]  # after the name of an operation


def agree(workers: Workers, digest: str, config: ComputeConfig) -> ComputeConfig:
    """Check that all ranks train the same model, and return the precision that all of them support.

    Args:
        workers: the processes that train together.
        digest: the digest of this process's training, in hexadecimal (`Checkpoint.digest`).
        config: the precision and hardware of this process.

    Raises:
        UnlikeWorker: a rank has another digest than the chief.
    """
    digests = workers.all_gather(int(digest[:DIGITS], 16))
    if unlike := [index for index, each in enumerate(digests) if each != digests[0]]:
        raise UnlikeWorker(
            f"worker {unlike[0]} of {VARIABLE} would not train the same as the chief: give all of them the same "
            "images, recipe, architecture, weights and options"
        )
    precisions = {POLICIES[each] for each in workers.all_gather(POLICIES.index(config.precision))}
    precision = precisions.pop() if len(precisions) == 1 else FLOAT32
    return replace(config, precision=precision, replicas=workers.rank.size)


def workers_of(config: str | None) -> Workers:
    """Return the workers of a `TF_CONFIG` after all of them have connected; this process alone if it names no other.

    Raises:
        WrongCluster: `TF_CONFIG` is wrong, or this process can't listen at its address.
        LostWorker: some workers did not connect.
    """
    rank = rank_of(config) if config else SINGLE
    return ClusterWorkers(rank) if rank.size > 1 else Workers()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once, because Python receives no signal while TensorFlow waits."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
