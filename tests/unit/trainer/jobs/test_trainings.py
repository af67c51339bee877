from datetime import UTC, datetime

import pytest

from services.trainer.jobs.trainings import CHECKPOINT, TrainingOutcome, Trainings
from services.trainer.training.checkpoint import StoredCheckpoint
from shared.messages import TrainingState
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectNotFound
from tests.unit.trainer.requests import cancellation, training

DONE = TrainingOutcome(state=TrainingState.FINISHED, model_version="v1", at=datetime(2026, 11, 23, tzinfo=UTC))


@pytest.fixture
def mine(store: FilesystemStore) -> Trainings:
    return Trainings(store, "first", lease_seconds=60)


@pytest.fixture
def theirs(store: FilesystemStore) -> Trainings:
    return Trainings(store, "second", lease_seconds=60)


def test_a_request_is_kept_as_it_was_asked_and_only_once(mine: Trainings) -> None:
    assert mine.add(training())
    assert not mine.add(training())
    assert mine.request("training-1") == training()
    with pytest.raises(ObjectNotFound):
        mine.request("training-2")


def test_open_trainings_come_in_the_order_in_which_they_were_asked_for(mine: Trainings) -> None:
    for request in (training("b", 2), training("a", 3), training("c", 1), training("d", 0)):
        mine.add(request)
    mine.finish("d", DONE)
    assert [request.training_id for request in mine.list_open()] == ["c", "b", "a"]


def test_a_request_that_this_trainer_cannot_read_is_passed_over(mine: Trainings, store: FilesystemStore) -> None:
    """It is of a newer trainer, or damaged; the others go on."""
    mine.add(training())
    store.put("trainings/newer/request.json", b'{"type": "TrainingRequested", "schema": 99}')
    assert [request.training_id for request in mine.list_open()] == ["training-1"]


def test_a_training_is_done_by_one_trainer(mine: Trainings, theirs: Trainings) -> None:
    mine.add(training())
    assert mine.claim("training-1")
    assert theirs.claim("training-1") is None


def test_a_trainer_that_comes_back_takes_its_own_training_up_at_once(mine: Trainings, theirs: Trainings) -> None:
    mine.add(training())
    assert [getattr(mine.claim("training-1"), "attempts", None) for _ in range(3)] == [1, 2, 3]
    assert theirs.claim("training-1") is None


def test_a_training_of_a_trainer_that_is_not_heard_of_goes_to_another(
    store: FilesystemStore, theirs: Trainings
) -> None:
    gone = Trainings(store, "first", lease_seconds=-1)
    gone.add(training())
    gone.claim("training-1")
    claim = theirs.claim("training-1")
    assert claim
    assert claim.attempts == 2


def test_a_training_that_went_to_another_trainer_is_neither_taken_back_nor_let_go(
    store: FilesystemStore, theirs: Trainings
) -> None:
    cut_off = Trainings(store, "first", lease_seconds=-1)
    cut_off.add(training())
    claim = cut_off.claim("training-1")
    assert claim
    assert cut_off.renew("training-1", claim), "late, and no other trainer has it"
    assert theirs.claim("training-1")
    assert not cut_off.renew("training-1", claim)
    cut_off.release("training-1")
    assert Trainings(store, "third", lease_seconds=60).claim("training-1") is None


def test_a_training_that_was_let_go_is_anybodys(mine: Trainings, theirs: Trainings) -> None:
    mine.add(training())
    mine.claim("training-1")
    mine.release("training-1")
    claim = theirs.claim("training-1")
    assert claim
    assert claim.attempts == 1


def test_a_cancellation_is_for_a_training_that_is_open(mine: Trainings) -> None:
    assert not mine.cancel(cancellation())
    mine.add(training())
    assert mine.cancel(cancellation())
    assert mine.is_cancelled("training-1")
    mine.finish("training-1", DONE)
    assert not mine.cancel(cancellation())


def test_the_checkpoint_is_deleted_when_the_training_ends(mine: Trainings, store: FilesystemStore) -> None:
    mine.add(training())
    checkpoint = StoredCheckpoint(store, mine.key("training-1", CHECKPOINT))
    assert checkpoint.load() is None
    checkpoint.save(b"weights")
    assert checkpoint.load() == b"weights"
    mine.finish("training-1", DONE)
    assert checkpoint.load() is None
    assert mine.outcome("training-1") == DONE
