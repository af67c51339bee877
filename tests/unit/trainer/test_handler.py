import threading
from datetime import UTC, datetime

import pytest

from services.trainer.handler import Commands
from services.trainer.jobs.measurement_jobs import MeasurementJobs
from services.trainer.jobs.trainings import TrainingOutcome, Trainings
from services.trainer.promotion.promotions import Promotions
from shared.messages import PromotionRefused, TrainingProgressed, TrainingState
from shared.messaging.loop import Reject, RetryLater
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectStore
from shared.storage.s3 import MinioStore
from tests.models import captured, painted
from tests.processes import free_port
from tests.unit.trainer.requests import cancellation, promotion, training


@pytest.fixture
def trainings(store: FilesystemStore) -> Trainings:
    return Trainings(store, "trainer", lease_seconds=60)


@pytest.fixture
def news() -> threading.Event:
    return threading.Event()


@pytest.fixture
def commands(trainings: Trainings, store: FilesystemStore, news: threading.Event) -> Commands:
    return commands_of(store, trainings, news)


def commands_of(store: ObjectStore, trainings: Trainings, news: threading.Event) -> Commands:
    jobs = MeasurementJobs(store, "trainer", 60)
    return Commands(trainings, Promotions(store), jobs, to_train=news, to_measure=threading.Event())


def test_a_request_is_stored_and_answered_and_wakes_the_runner(
    commands: Commands, trainings: Trainings, news: threading.Event
) -> None:
    (told,) = commands.handle([training()])
    assert isinstance(told, TrainingProgressed)
    assert told.state is TrainingState.QUEUED
    assert trainings.list_open() == [training()]
    assert news.is_set()


def test_a_request_that_comes_again_after_its_end_is_answered_with_the_end(
    commands: Commands, trainings: Trainings
) -> None:
    commands.handle([training()])
    end = TrainingOutcome(state=TrainingState.FAILED, reason="no images", at=datetime.now(UTC))
    trainings.finish("training-1", end)
    (told,) = commands.handle([training()])
    assert isinstance(told, TrainingProgressed)
    assert (told.state, told.reason) == (TrainingState.FAILED, "no images")
    assert trainings.list_open() == []


def test_a_cancellation_is_stored_and_wakes_the_runner(
    commands: Commands, trainings: Trainings, news: threading.Event
) -> None:
    commands.handle([training()])
    news.clear()
    assert commands.handle([cancellation()]) == []
    assert trainings.is_cancelled("training-1")
    assert news.is_set()


def test_the_cancellation_of_an_unknown_training_changes_nothing(commands: Commands, trainings: Trainings) -> None:
    assert commands.handle([cancellation("nobody")]) == []
    assert not trainings.is_cancelled("nobody")


def test_a_promotion_that_needs_no_measuring_is_decided_at_once(commands: Commands) -> None:
    (told,) = commands.handle([promotion("v9")])
    assert isinstance(told, PromotionRefused)


def test_a_message_that_is_no_command_is_rejected(commands: Commands) -> None:
    with pytest.raises(Reject, match="FrameCaptured is not a command to the trainer"):
        commands.handle([captured(0, painted("blue"))])


def test_while_object_storage_is_away_commands_wait() -> None:
    away = MinioStore(f"127.0.0.1:{free_port()}", "nowhere", "user", "password")
    commands = commands_of(away, Trainings(away, "trainer", 60), threading.Event())
    with pytest.raises(RetryLater):
        commands.handle([training()])
