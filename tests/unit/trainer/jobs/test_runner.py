"""The runner, with small scripts in the place of a training's process."""

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from services.trainer.jobs.child import Child, start_process
from services.trainer.jobs.runner import MOST_ATTEMPTS, Runner
from services.trainer.jobs.trainings import TrainingOutcome, Trainings
from shared.health import Health
from shared.messages import Message, ModelTrained, PromotionRequested, TrainingProgressed, TrainingState, decode
from shared.messaging.port import BrokerUnavailable, EncodedMessage, Publisher
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.topology import DASHBOARD_MODELS, TRAINER_COMMANDS
from tests.unit.trainer.requests import START, cancellation, training

STAGE = """print('{"event": "stage", "stage": "measuring heatmaps"}', flush=True)"""
EPOCH = """print('{"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {"loss": 0.5}}', flush=True)"""
FINISHED = """print('{"event": "finished", "model_version": "v1"}', flush=True)"""
FAILED = """print('{"event": "failed", "reason": "labels.csv, line 2: no"}', flush=True)"""
POSTPONED = """print('{"event": "postponed", "reason": "storage is away"}', flush=True)"""
WITHOUT_VERSION = """print('{"event": "finished"}', flush=True)"""
SLEEP = "import time; time.sleep(600)"


class Away(Publisher):
    """A broker that a test makes unavailable."""

    def __init__(self, publisher: Publisher) -> None:
        self.away = threading.Event()
        self.missed: list[Message | EncodedMessage] = []
        self._publisher = publisher

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        if self.away.is_set():
            self.missed.append(message)
            raise BrokerUnavailable("the broker is away")
        return self._publisher.publish(message)

    def close(self) -> None:
        self._publisher.close()


class Bench:
    """A runner in a thread, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.store = FilesystemStore(folder / "objects")
        self.store.put("models/strokes/v1/evaluation.json", json.dumps({"verdict_accuracy": 1.0}).encode())
        self.trainings = Trainings(self.store, "trainer", lease_seconds=60)
        self.broker = SqliteBroker(folder / "broker")
        self.publisher = Away(self.broker.publisher())
        self.work_folder = folder / "work"
        self.requests_changed, self.stop = threading.Event(), threading.Event()
        self.started: list[str] = []
        self._heard: list[Message] = []
        self._subscriptions = [self.broker.subscribe(queue, 100) for queue in (DASHBOARD_MODELS, TRAINER_COMMANDS)]

    @contextmanager
    def running(self, *scripts: str) -> Iterator[None]:
        """One script per attempt; the last one again and again."""

        def start(_command: str, training_id: str) -> AbstractContextManager[Child]:
            script = scripts[min(len(self.started), len(scripts) - 1)]
            self.started.append(training_id)
            return start_process([sys.executable, "-c", textwrap.dedent(script)])

        runner = Runner(
            self.trainings,
            self.store,
            self.publisher,
            work_folder=self.work_folder,
            requests_changed=self.requests_changed,
            stop=self.stop,
            lease_seconds=60,
            health=Health(),
            start=start,
        )
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            self.requests_changed.set()
            thread.join(120)
            assert not thread.is_alive()

    def heard(self, enough: Callable[[list[Message]], bool], seconds: float = 200) -> list[Message]:
        """What was told, as soon as it is enough."""
        end = time.monotonic() + seconds
        while not enough(self._heard) and time.monotonic() < end:
            for subscription in self._subscriptions:
                deliveries = subscription.receive(100, 0.05)
                self._heard += [decode(delivery.body) for delivery in deliveries]
                subscription.acknowledge(deliveries)
        assert enough(self._heard), self._heard
        return self._heard

    def until(self, state: TrainingState) -> list[TrainingProgressed]:
        """The progress that was told, up to a state."""
        told = self.heard(lambda heard: any(getattr(message, "state", None) is state for message in heard))
        return [message for message in told if isinstance(message, TrainingProgressed)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.broker.close()


def wait_for(fact: Callable[[], object]) -> None:
    end = time.monotonic() + 200
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_training_reports_its_progress_until_its_model(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(f"{EPOCH}\n{STAGE}\n{FINISHED}"):
        progress = bench.until(TrainingState.FINISHED)
    assert [told.state.value for told in progress] == ["running", "running", "running", "finished"]
    assert (progress[1].epoch, progress[1].epochs, progress[1].metrics) == (1, 2, {"loss": 0.5})
    assert progress[2].stage == "measuring heatmaps"
    assert progress[3].model_version == "v1"
    (trained,) = [told for told in bench.heard(bool) if isinstance(told, ModelTrained)]
    assert trained.evaluation == {"verdict_accuracy": 1.0}
    outcome = bench.trainings.outcome("training-1")
    assert outcome
    assert outcome.model_version == "v1"


def test_a_wished_promotion_is_asked_for_when_the_model_is_there(bench: Bench) -> None:
    bench.trainings.add(training(promote=True))
    with bench.running(FINISHED):
        heard = bench.heard(lambda heard: any(isinstance(told, PromotionRequested) for told in heard))
    (asked,) = [told for told in heard if isinstance(told, PromotionRequested)]
    assert (asked.promotion_id, asked.model_version, asked.by) == ("training-1", "v1", "ada")


def test_trainings_are_done_one_after_the_other_oldest_first(bench: Bench) -> None:
    bench.trainings.add(training("late", 5))
    bench.trainings.add(training("early", 1))
    with bench.running(FINISHED):
        bench.heard(lambda heard: len([told for told in heard if isinstance(told, ModelTrained)]) == 2)
    assert bench.started == ["early", "late"]


def test_a_training_that_can_never_succeed_fails_with_its_reason(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(FAILED):
        progress = bench.until(TrainingState.FAILED)
    assert progress[-1].reason == "labels.csv, line 2: no"
    assert len(bench.started) == 1


def test_a_training_whose_process_reports_no_model_fails(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(WITHOUT_VERSION):
        progress = bench.until(TrainingState.FAILED)
    assert "reported an unexpected end, Finished(" in progress[-1].reason
    assert len(bench.started) == 1


def test_a_training_whose_process_dies_is_taken_up_again(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(f"{EPOCH}\nimport os; os._exit(9)", FINISHED):
        bench.until(TrainingState.FINISHED)
    assert len(bench.started) == 2


def test_a_training_that_always_dies_is_given_up(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running("raise SystemExit(9)"):
        progress = bench.until(TrainingState.FAILED)
    assert "died 3 times" in progress[-1].reason
    assert len(bench.started) == MOST_ATTEMPTS


def test_a_running_training_is_cancelled(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(f"{EPOCH}\n{SLEEP}"):
        bench.heard(lambda heard: any(getattr(told, "epoch", 0) == 1 for told in heard))
        bench.trainings.cancel(cancellation())
        bench.requests_changed.set()
        bench.until(TrainingState.CANCELLED)
    assert len(bench.started) == 1


def test_a_training_that_waits_is_cancelled_without_being_started(bench: Bench) -> None:
    bench.trainings.add(training())
    bench.trainings.cancel(cancellation())
    with bench.running(FINISHED):
        bench.until(TrainingState.CANCELLED)
    assert bench.started == []


def test_a_waiting_training_is_cancelled_while_another_one_runs(bench: Bench) -> None:
    bench.trainings.add(training("long", 1))
    bench.trainings.add(training("training-1", 2))
    with bench.running(SLEEP):
        wait_for(lambda: bench.started)
        bench.trainings.cancel(cancellation())
        bench.requests_changed.set()
        (told,) = [told for told in bench.until(TrainingState.CANCELLED) if told.training_id == "training-1"]
    assert told.state is TrainingState.CANCELLED
    assert bench.started == ["long"]
    assert bench.trainings.outcome("long") is None


@pytest.mark.parametrize(
    ("end", "state"), [(FINISHED, TrainingState.FINISHED), (FAILED, TrainingState.FAILED)], ids=["done", "failed"]
)
def test_the_end_of_a_training_is_reported_when_the_broker_is_back(
    bench: Bench, end: str, state: TrainingState
) -> None:
    bench.trainings.add(training())
    bench.publisher.away.set()
    with bench.running(end):
        wait_for(lambda: sum(getattr(told, "state", state) is state for told in bench.publisher.missed) >= 2)
        bench.publisher.away.clear()
        told = bench.until(state)
    assert told[-1].reason == ("" if end == FINISHED else "labels.csv, line 2: no")
    assert len(bench.started) == 1, "its process is not needed again"


def test_a_trainer_that_stops_before_it_could_tell_of_a_model_leaves_that_to_the_next(bench: Bench) -> None:
    bench.trainings.add(training())
    bench.publisher.away.set()
    with bench.running(FINISHED):
        wait_for(lambda: any(isinstance(told, ModelTrained) for told in bench.publisher.missed))
    assert bench.trainings.outcome("training-1") is None
    assert Trainings(bench.store, "another", lease_seconds=60).claim("training-1")


def test_nothing_of_a_training_that_has_ended_stays_in_the_work_folder(bench: Bench) -> None:
    """Of one that another trainer finished, as of one that is given up here; what is no training's stays."""
    for name in ("gone", "training-1", "waits", "notes"):
        (bench.work_folder / name).mkdir(parents=True)
        (bench.work_folder / name / "pixels.npy").touch()
    bench.trainings.add(training("gone"))
    bench.trainings.finish("gone", TrainingOutcome(state=TrainingState.FINISHED, model_version="v1", at=START))
    bench.trainings.add(training())
    with bench.running("raise SystemExit(9)"):
        bench.until(TrainingState.FAILED)
        wait_for(lambda: not (bench.work_folder / "training-1").exists())
    assert {path.name for path in bench.work_folder.iterdir()} == {"waits", "notes"}


def test_a_training_waits_for_an_unavailable_server_and_continues(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(POSTPONED, FINISHED):
        bench.until(TrainingState.FINISHED)
    assert len(bench.started) == 2


def test_a_trainer_that_stops_leaves_its_training_to_the_next(bench: Bench) -> None:
    bench.trainings.add(training())
    with bench.running(SLEEP):
        wait_for(lambda: bench.started)
    assert bench.trainings.outcome("training-1") is None
    claim = Trainings(bench.store, "another", lease_seconds=60).claim("training-1")
    assert claim
    assert claim.attempts == 1


@pytest.mark.parametrize("end", [SLEEP, FINISHED, FAILED], ids=["goes on", "is done", "fails"])
def test_a_training_that_went_to_another_trainer_is_left_to_it(bench: Bench, tmp_path: Path, end: str) -> None:
    taken = tmp_path / "taken"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(taken)!r}).exists(): time.sleep(0.02)"
    bench.trainings = Trainings(bench.store, "trainer", lease_seconds=-1)
    bench.trainings.add(training("lost", 1))
    bench.trainings.add(training("next", 2))
    with bench.running(f"{wait}\n{end}", FINISHED):
        wait_for(lambda: bench.started)
        assert Trainings(bench.store, "another", lease_seconds=60).claim("lost")
        taken.touch()
        if end == SLEEP:
            bench.requests_changed.set()
        bench.until(TrainingState.FINISHED)
    assert bench.started == ["lost", "next"]
    assert bench.trainings.outcome("next")
    assert bench.trainings.outcome("lost") is None
    assert Trainings(bench.store, "third", lease_seconds=60).claim("lost") is None


def test_the_process_ends_when_its_trainer_is_killed(tmp_path: Path) -> None:
    child = "from services.trainer.jobs.child import end_with_parent; end_with_parent(); print('up', flush=True); "
    process = subprocess.Popen(
        [sys.executable, "-c", child + SLEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "up\n"
    process.stdin.close()
    assert process.wait(200) == 1
