import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.training.cluster import Seat
from services.trainer.training.precision import BFLOAT16, FLOAT32, Computing
from services.trainer.training.workers import UnlikeWorker, Workers, agree, workers_of

NEW, OLD = Computing(BFLOAT16, "a new processor"), Computing(FLOAT32, "an old processor")


class Table:
    """Where the threads of a test add up what they have."""

    def __init__(self, count: int) -> None:
        self.everyone = threading.Barrier(count, timeout=60)
        self.numbers: list[NDArray[Any]] = [np.zeros(0)] * count


class Neighbour(Workers):
    """One of several in a process, each in a thread."""

    def __init__(self, index: int, table: Table) -> None:
        self.seat = Seat(index, tuple(f"thread:{number}" for number in range(len(table.numbers))))
        self._table = table

    def _total(self, numbers: NDArray[Any]) -> NDArray[Any]:
        self._table.numbers[self.seat.index] = numbers
        self._table.everyone.wait()
        total = sum(self._table.numbers, np.zeros_like(numbers))
        self._table.everyone.wait()
        return total


def agreed(*asked: tuple[str, Computing]) -> list[Future[Computing]]:
    """What becomes of those who ask, each with a subject and what it would reckon in."""
    table = Table(len(asked))
    with ThreadPoolExecutor(len(asked)) as threads:
        return [threads.submit(agree, Neighbour(index, table), *each) for index, each in enumerate(asked)]


def test_workers_that_would_not_learn_the_same_all_refuse_and_name_the_one() -> None:
    for refused in agreed(("ab" * 32, OLD), ("ab" * 32, OLD), ("cd" * 32, OLD)):
        with pytest.raises(UnlikeWorker, match="worker 2 of TF_CONFIG would not learn what the chief does: give all"):
            refused.result()


def test_workers_reckon_in_the_precision_of_all_of_them_or_in_float32() -> None:
    alike = [each.result() for each in agreed(("ab" * 32, NEW), ("ab" * 32, NEW))]
    assert alike == [Computing(BFLOAT16, "a new processor", 2)] * 2
    unlike = [each.result() for each in agreed(("ab" * 32, NEW), ("ab" * 32, OLD))]
    assert [(each.precision, each.hardware) for each in unlike] == [(FLOAT32, NEW.hardware), (FLOAT32, OLD.hardware)]


@pytest.mark.parametrize(
    "config", [None, "", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}']
)
def test_who_is_alone_waits_for_nobody(config: str | None) -> None:
    assert type(workers_of(config)) is Workers
