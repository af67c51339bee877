"""Who does the learning: one process by itself, or those of a cluster, each with one device."""

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
from services.trainer.training.cluster import ALONE, VARIABLE, Seat, WrongCluster, seat_of
from services.trainer.training.feeding import Feed
from services.trainer.training.loss import Loss
from services.trainer.training.precision import FLOAT32, POLICIES, Computing

LOST: Final = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)
"""What TensorFlow says when another process of a cluster is gone: it depends on who notices."""
DIGITS: Final = 15
"""Of a hexadecimal digest, as many as a whole number of 64 bits holds."""

_log = structlog.stdlib.get_logger("training")


class LostWorker(TrainerError):
    """Another process of the cluster is gone, and the training with it."""


class UnlikeWorker(TrainerError):
    """A process of the cluster would learn something else than the chief."""


@dataclass(frozen=True)
class Lesson:
    """What learns, from what, and how."""

    learner: keras.Model
    optimizer: keras.optimizers.Optimizer
    """Built for the learner."""
    loss: Loss
    feed: Feed


class Workers:
    """Those who learn together, as the one of them that this process is sees them; here, this process alone."""

    seat: Seat = ALONE

    def scope(self) -> AbstractContextManager[object]:
        """In which the learner and its optimizer have to be made."""
        return nullcontext()

    def learn(self, lesson: Lesson, keeper: keras.callbacks.Callback, first: int, last: int) -> None:
        """Learn.

        Args:
            lesson: what.
            keeper: is told of every step and epoch, and may stop the learner.
            first: epoch, from 0.
            last: epoch before which it ends.

        Raises:
            LostWorker: another process is gone.
        """
        learner, feed = lesson.learner, lesson.feed
        learner.compile(lesson.optimizer, lesson.loss, jit_compile=False)
        learner.fit(
            feed.epochs(first, last),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=len(feed.batch_sizes),
            callbacks=[keeper],
            shuffle=False,  # the feed has done it
            verbose=0,
        )

    def everyones(self, number: int) -> list[int]:
        """The number of each process, by its index; all have to ask together."""
        numbers = np.zeros(self.seat.workers, np.int64)
        numbers[self.seat.index] = number
        return [int(each) for each in self._total(numbers)]

    def chiefs(self, number: int) -> int:
        """The chief's number; all have to ask together."""
        return self.everyones(number)[0]

    def take_from_chief(self, variables: Sequence[keras.Variable]) -> None:
        """Give variables the values that they have in the chief; all have to ask together."""
        if self.seat.workers == 1:
            return
        values = [np.asarray(variable) for variable in variables]
        mine = np.concatenate([value.ravel().astype(np.float64) for value in values])  # holds the whole numbers too
        chiefs = self._total(mine if self.seat.is_chief else np.zeros_like(mine))
        pieces = np.split(chiefs, np.cumsum([value.size for value in values])[:-1])
        for variable, value, piece in zip(variables, values, pieces, strict=True):
            variable.assign(piece.reshape(value.shape).astype(value.dtype))

    def _total(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The sum of what each process has."""
        return numbers


class Cluster(Workers):
    """A replica of the network in each process, which learns from its share of every batch; gradients are added.

    ``fit`` of Keras 3 does not run under `tf.distribute.MultiWorkerMirroredStrategy`, so the steps are taken here.
    """

    def __init__(self, seat: Seat) -> None:
        """Wait until all processes have come. To be called before anything is reckoned with TensorFlow.

        Raises:
            WrongCluster: the address of this process can't be had.
            LostWorker: some did not come.
        """
        self.seat = seat
        gpus = tf.config.list_physical_devices("GPU")[:1]
        tf.config.set_visible_devices(gpus, "GPU")
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(seat.addresses)}),  # worker 0 is the chief to TensorFlow too
            task_type="worker",
            task_id=seat.index,
            num_accelerators={"GPU": len(gpus)},
            rpc_layer="grpc",
        )
        _log.info("waiting for the other workers", workers=seat.workers, this=seat.index, address=seat.address)
        try:
            with _interruptible(), self._missing_nobody():
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except tf.errors.UnknownError as error:
            raise WrongCluster(f"{VARIABLE}: can't listen at {seat.address}: {_reason(error)}") from error
        self._sum = tf.function(lambda numbers: self._strategy.run(_sum_of_all, (numbers,)))

    def scope(self) -> AbstractContextManager[object]:
        """Where variables are the same in all processes."""
        scope: AbstractContextManager[object] = self._strategy.scope()
        return scope

    def learn(self, lesson: Lesson, keeper: keras.callbacks.Callback, first: int, last: int) -> None:
        """Step by step, each process from its share of the images."""
        learner, sizes = lesson.learner, lesson.feed.batch_sizes
        keeper.set_model(learner)
        keeper.set_params({"steps": len(sizes)})
        step, shares = self._step_of(lesson), iter(lesson.feed.epochs(first, last))
        learner.stop_training = False
        for epoch in range(first, last):
            total = 0.0
            for number, size in enumerate(sizes):
                with self._missing_nobody():
                    total += size * float(step(*next(shares)))
                keeper.on_train_batch_end(number, {"loss": total / sum(sizes[: number + 1])})
            keeper.on_epoch_end(epoch, {"loss": total / sum(sizes)})
            if learner.stop_training:
                return

    def _step_of(self, lesson: Lesson) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function of this process's images and labels, which gives the mean loss of everyone's."""
        learner, optimizer = lesson.learner, lesson.optimizer
        in_float16 = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

        def on_replica(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(lesson.loss(labels, learner(images, training=True))) / self.seat.workers
                scaled = optimizer.scale_loss(loss)
            variables = learner.trainable_variables
            gradients = tape.gradient(scaled, variables)
            if in_float16:  # whether the scale was too large must be seen by all of them, or by none
                gradients = [_sum_of_all(gradient) / self.seat.workers for gradient in gradients]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))  # adds those of all processes
            return _sum_of_all(loss)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            return self._strategy.run(on_replica, (images, labels))

        compiled: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = step
        return compiled

    def _total(self, numbers: NDArray[Any]) -> NDArray[Any]:
        with self._missing_nobody():
            return np.asarray(self._sum(tf.constant(numbers)))

    @contextmanager
    def _missing_nobody(self) -> Iterator[None]:
        try:
            yield
        except LOST as error:
            raise LostWorker(
                f"lost another worker of {VARIABLE} ({_reason(error)}): look at its output, and start all again"
            ) from error


def _sum_of_all(tensor: tf.Tensor) -> tf.Tensor:
    """In a replica: the sum over all of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(tensor))


def _reason(error: tf.errors.OpError) -> str:
    """The line of an error that says most."""
    said = str(error.message)
    line = next((line for line in said.splitlines() if "aborted by" in line), said.partition("\n")[0])
    return line.rpartition("}} ")[2]  # after the name of an operation


def agree(workers: Workers, subject: str, computing: Computing) -> Computing:
    """Make sure that all would learn the same, and settle on what all of them reckon in.

    Args:
        workers: who learn together.
        subject: a hexadecimal digest of what this process would learn from, and how.
        computing: what it would reckon in.

    Raises:
        UnlikeWorker: the subject of one is another than the chief's.
    """
    digests = workers.everyones(int(subject[:DIGITS], 16))
    if unlike := [index for index, each in enumerate(digests) if each != digests[0]]:
        raise UnlikeWorker(
            f"worker {unlike[0]} of {VARIABLE} would not learn what the chief does: give all of them the same "
            "images, recipe, architecture, weights and options"
        )
    common = {POLICIES[each] for each in workers.everyones(POLICIES.index(computing.precision))}
    precision = common.pop() if len(common) == 1 else FLOAT32
    return replace(computing, precision=precision, replicas=workers.seat.workers)


def workers_of(config: str | None) -> Workers:
    """Those of a `TF_CONFIG`, once all of them have come; without one, or with one worker in it, this process alone.

    Raises:
        WrongCluster: it is wrong, or the address that it gives this process can't be had.
        LostWorker: some did not come.
    """
    seat = seat_of(config) if config else ALONE
    return Cluster(seat) if seat.workers > 1 else Workers()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once: TensorFlow waits where Python does not hear it."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
