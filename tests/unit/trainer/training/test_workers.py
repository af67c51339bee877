import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.training.cluster import Rank
from services.trainer.training.precision import BFLOAT16, FLOAT32, ComputeConfig
from services.trainer.training.workers import UnlikeWorker, Workers, agree, workers_of

NEW, OLD = ComputeConfig(BFLOAT16, "a new processor"), ComputeConfig(FLOAT32, "an old processor")


class Table:
    """The arrays that the threads of a test add up."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=60)
        self.numbers: list[NDArray[Any]] = [np.zeros(0)] * count


class ThreadWorkers(Workers):
    """One of several workers, each in a thread of one process."""

    def __init__(self, index: int, table: Table) -> None:
        self.rank = Rank(index, tuple(f"thread:{number}" for number in range(len(table.numbers))))
        self._table = table

    def all_reduce(self, numbers: NDArray[Any]) -> NDArray[Any]:
        self._table.numbers[self.rank.index] = numbers
        self._table.barrier.wait()
        total = sum(self._table.numbers, np.zeros_like(numbers))
        self._table.barrier.wait()
        return total


def agreed(*requested: tuple[str, ComputeConfig]) -> list[Future[ComputeConfig]]:
    """Return what each worker agrees on, given its digest and what it would compute in."""
    table = Table(len(requested))
    with ThreadPoolExecutor(len(requested)) as threads:
        return [threads.submit(agree, ThreadWorkers(index, table), *each) for index, each in enumerate(requested)]


def test_all_workers_refuse_a_training_in_which_one_would_train_something_else() -> None:
    for refused in agreed(("ab" * 32, OLD), ("ab" * 32, OLD), ("cd" * 32, OLD)):
        with pytest.raises(UnlikeWorker, match="worker 2 of TF_CONFIG would not train the same as the chief: give all"):
            refused.result()


def test_workers_compute_in_their_common_precision_or_in_float32() -> None:
    alike = [each.result() for each in agreed(("ab" * 32, NEW), ("ab" * 32, NEW))]
    assert alike == [ComputeConfig(BFLOAT16, "a new processor", 2)] * 2
    unlike = [each.result() for each in agreed(("ab" * 32, NEW), ("ab" * 32, OLD))]
    assert [(each.precision, each.hardware) for each in unlike] == [(FLOAT32, NEW.hardware), (FLOAT32, OLD.hardware)]


@pytest.mark.parametrize(
    "config", [None, "", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}']
)
def test_a_single_process_waits_for_no_other(config: str | None) -> None:
    assert type(workers_of(config)) is Workers
