"""Commands do not wait for measurements, and no measurement is lost."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from services.trainer.jobs import job_loop
from services.trainer.jobs.child import Child, start_child, start_process
from services.trainer.jobs.measurement_jobs import MeasurementJobs, name_of
from services.trainer.jobs.measurer import FAILURE_REASON, MOST_ATTEMPTS
from services.trainer.promotion.promotions import Promotions
from shared.contracts.bundle import comparison_key
from shared.contracts.dataset import DatasetVersion, image_key
from shared.contracts.promotion import production_history, production_version
from shared.messages import ComparisonRequested, Message, ModelPromoted, PromotionRefused, decode
from shared.messaging.port import BrokerUnavailable, EncodedMessage, Publisher
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from shared.topology import DASHBOARD_MODELS
from tests.painted import comparable, painted_version, put
from tests.processes import wait_until
from tests.trainers import answering
from tests.unit.trainer.requests import START, promotion


class SlowImages(FilesystemStore):
    """Object storage that gives no image until it may: a comparison of many images, in effect."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may, self.asked = threading.Event(), threading.Event()

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        if "/images/" in key:
            self.asked.set()
            assert self.may.wait(200)
        return super().get(key, most_bytes)


@pytest.fixture
def store(tmp_path: Path) -> SlowImages:
    return SlowImages(tmp_path / "objects")


@pytest.fixture
def dataset(store: SlowImages, tmp_path: Path) -> DatasetVersion:
    return painted_version(store, tmp_path / "paint", each=16)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(tmp_path / "broker")
    yield broker
    broker.close()


class Line:
    """What is asked of the trainer, and what it says."""

    def __init__(self, broker: SqliteBroker) -> None:
        self._publisher = broker.publisher()
        self._happened = broker.subscribe(DASHBOARD_MODELS, 100)
        self._heard: list[Message] = []

    def ask(self, *messages: Message) -> None:
        for message in messages:
            self._publisher.publish(message).result(60)

    def hear(self, wanted: Callable[[Message], bool]) -> Message:
        end = time.monotonic() + 200
        while time.monotonic() < end:
            if found := next(filter(wanted, self._heard), None):
                return found
            deliveries = self._happened.receive(10, 0.1)
            self._heard += [decode(delivery.body) for delivery in deliveries]
            self._happened.acknowledge(deliveries)
        raise AssertionError(self._heard)

    def answer_to(self, promotion_id: str) -> Message:
        return self.hear(lambda message: getattr(message, "promotion_id", "") == promotion_id)


def comparison(**changes: object) -> ComparisonRequested:
    fields = {"recipe": "paint", "baseline": "v1", "candidate": "v2", "by": "ada", "at": START}
    return ComparisonRequested.model_validate({**fields, **changes})


def test_a_rollback_is_answered_while_a_comparison_goes_on(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    line = Line(broker)
    with answering(store, broker):
        line.ask(promotion("v1", "first"))
        assert isinstance(line.answer_to("first"), ModelPromoted), "the first is not measured"
        line.ask(comparison(candidate="v1", baseline="v2"), promotion("v2", "second"))
        assert store.asked.wait(200)
        line.ask(promotion("v2", "back", rollback=True))
        assert isinstance(line.answer_to("back"), PromotionRefused), "nothing was in production before"
        assert not store.exists(comparison_key("paint", "v2", "v1"))
        store.may.set()
        told = line.answer_to("second")
        assert isinstance(told, ModelPromoted)
        assert told.gate.startswith("no worse than v1 on 44 test images of paint@0001-")
    assert store.exists(comparison_key("paint", "v2", "v1"))
    assert list(store.keys("measurements/")) == []


def test_a_promotion_is_measured_again_when_production_moved_meanwhile(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset), comparable("v3", dataset))
    line = Line(broker)
    with answering(store, broker):
        line.ask(promotion("v1", "first"))
        line.answer_to("first")
        line.ask(promotion("v2", "second"), promotion("v3", "third"))
        store.may.set()
        third = line.answer_to("third")
        assert isinstance(third, ModelPromoted)
        assert (third.previous_version, third.gate.partition(" on ")[0]) == ("v2", "no worse than v2")
    assert production_version(store, "paint") == "v3"


def test_two_models_that_can_not_be_compared_are_refused_once_they_were_looked_at(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    store.delete(image_key(dataset.images[-1].digest))
    store.may.set()
    line = Line(broker)
    with answering(store, broker):
        line.ask(promotion("v1", "first"), promotion("v2", "second"))
        told = line.answer_to("second")
    assert isinstance(told, PromotionRefused)
    assert "not comparable with v1 in production: paint@0001-" in told.reason
    assert list(store.keys("measurements/")) == []


class Scripts:
    """Small scripts in the place of measuring processes: what was started, and with which commands."""

    def __init__(self, script: str) -> None:
        self._script = script
        self.begun = threading.Event()
        self.commands: list[tuple[str, ...]] = []

    def start(self, *command: str) -> AbstractContextManager[Child]:
        self.commands.append(command)
        self.begun.set()
        return start_process([sys.executable, "-c", self._script])


def test_a_measurement_that_was_left_is_taken_up_by_the_next_trainer(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    store.may.set()
    line, sleeping = Line(broker), Scripts("import time; time.sleep(600)")
    with answering(store, broker, start=sleeping.start) as stop:
        line.ask(comparison())
        assert sleeping.begun.wait(200)
        stop.set()
    assert sleeping.commands == [("measure", "comparison", "paint", "v1", "v2")]
    assert not store.exists(comparison_key("paint", "v1", "v2"))
    with answering(store, broker):
        wait_until(lambda: not list(store.keys("measurements/")), 200, "it to be measured")
    assert b'"images":44' in store.get(comparison_key("paint", "v1", "v2"))


def test_a_measurement_is_done_by_a_process_of_its_own(
    store: SlowImages,
    dataset: DatasetVersion,
    broker: SqliteBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    line = Line(broker)
    with answering(store, broker, start=start_child):
        line.ask(comparison(candidate="v9"), comparison())
        for candidate in ("v9", "v2"):
            key = comparison_key("paint", "v1", candidate)
            wait_until(lambda key=key: store.exists(key), 200, "both to be measured")  # type: ignore[misc]
    assert b"has no model v9" in store.get(comparison_key("paint", "v1", "v9"))
    assert b'"images":44' in store.get(comparison_key("paint", "v1", "v2"))
    assert not store.asked.is_set(), "no image was read by this process"


def test_a_measurement_whose_process_dies_again_and_again_is_given_up(store: SlowImages, broker: SqliteBroker) -> None:
    dying = Scripts("raise SystemExit(3)")
    with answering(store, broker, start=dying.start):
        Line(broker).ask(comparison())
        wait_until(lambda: store.exists(comparison_key("paint", "v1", "v2")), 200, "it to be given up")
        wait_until(lambda: not list(store.keys("measurements/")), 200, "the job to be deleted")
    assert len(dying.commands) == MOST_ATTEMPTS
    assert FAILURE_REASON.encode() in store.get(comparison_key("paint", "v1", "v2"))


def test_a_comparison_that_was_refused_is_made_when_it_is_requested_again_and_can_be(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    key = comparison_key("paint", "v1", "v2")
    put(store, comparable("v1", dataset))
    store.may.set()
    with answering(store, broker):
        Line(broker).ask(comparison())
        wait_until(lambda: store.exists(key), 200, "the refusal")
        assert json.loads(store.get(key)) == {"reason": "recipe 'paint' has no model v2", "at": START.isoformat()}
        put(store, comparable("v2", dataset))
        Line(broker).ask(comparison())
        wait_until(lambda: b'"images":44' in store.get(key), 200, "the comparison")


class Away(Publisher):
    """A broker that is away when it is told something first."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.was_away = threading.Event()

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        if not self.was_away.is_set():
            self.was_away.set()
            raise BrokerUnavailable("the broker is away")
        return self._publisher.publish(message)

    def close(self) -> None:
        self._publisher.close()


def test_a_promotion_that_was_measured_while_the_broker_was_away_is_decided_when_it_is_back(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    store.may.set()
    line, away = Line(broker), Away(broker.publisher())
    with answering(store, broker, away):
        line.ask(promotion("v1", "first"), promotion("v2", "second"))
        assert isinstance(line.answer_to("second"), ModelPromoted)
    assert away.was_away.is_set()
    assert list(store.keys("measurements/")) == []


def test_a_decision_whose_trainer_died_before_it_published_it_is_published_by_the_next(
    store: SlowImages, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset))
    died = MeasurementJobs(store, "trainer", 60)
    died.add(promotion("v1", "first"))
    assert died.claim(name_of(promotion("v1", "first")))
    decision = Promotions(store).decide(promotion("v1", "first"))
    line = Line(broker)
    with answering(store, broker):
        assert line.answer_to("first") == decision
        wait_until(lambda: not list(store.keys("measurements/")), 200, "the job to be deleted")
    assert len(production_history(store, "paint")) == 1


class Vanishing(FilesystemStore):
    """Object storage in which another trainer ends a job between a look at the names and one at what they hold."""

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        if key.endswith("/request.json"):
            self.delete(key)
        return super().get(key, most_bytes)


def test_a_job_that_another_trainer_ends_meanwhile_is_none(tmp_path: Path) -> None:
    jobs = MeasurementJobs(Vanishing(tmp_path / "objects"), "trainer", 60)
    jobs.add(comparison())
    assert jobs.list_open() == []


def test_a_second_request_for_the_same_measurement_gets_an_answer_too(store: SlowImages) -> None:
    jobs = MeasurementJobs(store, "trainer", 60)
    first, second = comparison(), comparison(by="grace", at=START + timedelta(seconds=30))
    jobs.add(first)
    assert jobs.claim(name_of(first))
    jobs.add(second)
    jobs.add(first)  # comes twice
    jobs.finish(first)
    assert jobs.list_open() == [second]
    jobs.finish(second)
    assert list(store.keys("measurements/")) == []


def test_a_job_of_a_newer_trainer_is_passed_over(store: SlowImages) -> None:
    jobs = MeasurementJobs(store, "trainer", 60)
    jobs.add(comparison())
    store.put("measurements/wonder.paint/request.json", b'{"type":"WonderRequested","version":1}\n')
    assert jobs.list_open() == [comparison()]


def test_a_job_that_another_trainer_measures_is_left_to_it(store: SlowImages) -> None:
    ours, theirs = MeasurementJobs(store, "ours", 60), MeasurementJobs(store, "theirs", 60)
    ours.add(comparison())
    claim = ours.claim(name_of(comparison()))
    assert claim
    assert theirs.claim(name_of(comparison())) is None
    assert theirs.list_open() == [comparison()]
    assert ours.renew(name_of(comparison()), claim)
    ours.release(name_of(comparison()))
    assert theirs.claim(name_of(comparison()))


class Outages(FilesystemStore):
    """Object storage that is unavailable for a moment at a number of reads of an image."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder)
        self.left, self.away_until = left, 0.0

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        if self.left and "/images/" in key and not self.away:
            self.left -= 1
            self.away_until = time.monotonic() + 0.3
        self._check()
        return super().get(key, most_bytes)

    def keys(self, prefix: str) -> Iterator[str]:
        self._check()
        return super().keys(prefix)

    @property
    def away(self) -> bool:
        return time.monotonic() < self.away_until

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("away")


def test_outages_of_object_storage_count_as_no_attempts_to_measure(
    tmp_path: Path, broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_loop, "CHECK_SECONDS", 0.1)
    store = Outages(tmp_path / "objects", left=0)
    dataset = painted_version(store, tmp_path / "paint", each=16)
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    store.left = MOST_ATTEMPTS + 1
    with answering(store, broker):
        Line(broker).ask(comparison())
        wait_until(lambda: store.exists(comparison_key("paint", "v1", "v2")), 200, "the comparison")
    assert store.left == 0
    assert b'"images":44' in store.get(comparison_key("paint", "v1", "v2"))
