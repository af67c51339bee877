"""Annotation logs: nothing is overwritten, an undo is one more annotation, and every dashboard sees all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.dashboard.labelling.annotations import repository as repository_module
from services.dashboard.labelling.annotations.agreement import kappa_by_label
from services.dashboard.labelling.annotations.annotation import Annotation, FrameAnnotations
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.labelling import annotation, labels
from tests.processes import wait_until


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def undo(undone: Annotation, after: int) -> Annotation:
    return annotation(*undone.frames, by=undone.by, after=after, labels={}, undoes=undone.id)


def test_the_last_annotation_counts_and_earlier_ones_stay_stored(store: FilesystemStore) -> None:
    repository = AnnotationRepository(store)
    repository.append(annotation("3"))
    repository.append(annotation("3", "4", by="bob", after=1, labels=labels("break")))
    log = repository.log("video-1")
    assert {frame: state.first and state.first.by for frame, state in log.frames.items()} == {
        "3": "bob",
        "4": "bob",
    }
    assert len(log.annotations) == len(list(store.keys("labelling/annotations/video-1/"))) == 2


def test_an_undo_restores_the_annotation_before(store: FilesystemStore) -> None:
    repository = AnnotationRepository(store)
    repository.append(annotation("3"))
    repository.append(wrong := annotation("3", after=1, labels=labels("break")))
    repository.append(undo(wrong, 2))
    first = repository.log("video-1").frame("3").first
    assert first is not None
    assert first.labels == labels("good")
    repository.append(undo(first, 3))
    assert repository.log("video-1").frame("3").first is None
    assert len(list(store.keys("labelling/annotations/"))) == 4


def test_another_dashboard_computes_the_same_from_storage(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    one, other = AnnotationRepository(store), AnnotationRepository(store)
    said = [annotation(str(number), after=number) for number in range(30)]
    for each in reversed(said):
        one.append(each)
    assert other.log("video-1").frames == one.log("video-1").frames
    other.append(undo(said[3], 100))
    other.append(annotation("5", by="bob", after=101, labels=labels("error")))
    assert one.log("video-1").frames == other.log("video-1").frames
    assert one.log("video-1").frame("3").first is None


def test_an_annotation_that_was_not_stored_does_not_count(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = AnnotationRepository(store)
    repository.log("video-1")

    def fails(*_args: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(store, "put", fails)
    with pytest.raises(StorageUnavailable):
        repository.append(annotation("3"))
    assert repository.log("video-1").frame("3").first is None


def test_a_damaged_annotation_leaves_the_others_valid(store: FilesystemStore) -> None:
    repository = AnnotationRepository(store)
    repository.append(annotation("1"))
    store.put("labelling/annotations/video-1/01JF6Z/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json", b"{")
    assert list(AnnotationRepository(store).log("video-1").frames) == ["1"]


def test_different_annotations_contradict_each_other_until_an_adjudication(store: FilesystemStore) -> None:
    repository = AnnotationRepository(store)
    repository.append(annotation("1"))
    repository.append(annotation("1", by="bob", kind="second", after=1, labels=labels("break")))
    state = repository.log("video-1").frame("1")
    assert (state.is_contradiction, state.effective) == (True, None)
    repository.append(annotation("1", by="cleo", kind="adjudication", after=2, labels=labels("break")))
    state = repository.log("video-1").frame("1")
    assert state.effective is not None
    assert (state.is_contradiction, state.effective.by) == (False, "cleo")
    repository.append(annotation("1", by="ann", after=3, labels=labels("error")))
    assert repository.log("video-1").frame("1").is_contradiction, (
        "an annotation after the adjudication was not adjudicated"
    )


def two_people_differ(store: FilesystemStore) -> tuple[Annotation, Annotation]:
    repository = AnnotationRepository(store)
    anns, bobs = annotation("1"), annotation("1", by="bob", kind="second", after=60, labels=labels("break"))
    repository.append(anns)
    repository.append(bobs)
    return anns, bobs


def after(store: FilesystemStore, *annotations: Annotation) -> FrameAnnotations:
    """Return the frame after these annotations, which is the same whether they are added one by one or read again."""
    repository = AnnotationRepository(store)
    for each in annotations:
        repository.append(each)
    state = repository.log("video-1").frame("1")
    assert AnnotationRepository(store).log("video-1").frame("1") == state
    return state


def test_a_contradiction_stays_until_an_adjudication_whatever_the_first_annotator_changes(
    store: FilesystemStore,
) -> None:
    anns, bobs = two_people_differ(store)
    state = after(store, follows := annotation("1", after=90, labels=labels("break")))
    assert state.first == follows
    assert (state.is_contradiction, state.effective, state.disputed) == (True, None, (anns, bobs))
    assert state.later == [follows], "it is shown, but adjudicates nothing"
    assert kappa_by_label([state], ["good"])["good"].only_first == 1
    state = after(store, decided := annotation("1", by="cleo", kind="adjudication", after=120, labels=labels("break")))
    assert (state.is_contradiction, state.effective) == (False, decided)
    assert not after(store, annotation("1", after=130, labels=labels("break"))).is_contradiction, (
        "both say the same now"
    )
    assert kappa_by_label([state], ["good"])["good"].only_first == 1, "they differed when they were independent"


def test_a_contradiction_stays_though_both_people_undo_their_annotations(store: FilesystemStore) -> None:
    anns, bobs = two_people_differ(store)
    state = after(store, undo(anns, 200), undo(bobs, 201))
    assert (state.first, state.second, state.is_contradiction, state.disputed) == (None, None, True, (anns, bobs))
    state = after(store, annotation("1", by="cleo", kind="adjudication", after=210, labels=labels("error")))
    assert state.effective is not None
    assert (state.is_contradiction, state.effective.by) == (False, "cleo")


def test_a_second_annotation_may_be_corrected_at_once_but_not_later(store: FilesystemStore) -> None:
    anns, bobs = two_people_differ(store)
    state = after(store, corrected := annotation("1", by="bob", kind="second", after=80))
    assert (state.is_contradiction, state.independent) == (False, (anns, corrected))
    assert after(store, undo(corrected, 100)).independent == (anns, bobs)
    assert after(store, undo(bobs, 110)).independent is None
    again = annotation("1", by="bob", kind="second", after=300, labels=labels("error"))
    assert after(store, again).independent == (anns, again)
    assert after(store, annotation("1", by="bob", kind="second", after=400)).independent == (anns, again)


def test_a_changed_label_after_an_agreement_is_a_contradiction(store: FilesystemStore) -> None:
    repository = AnnotationRepository(store)
    repository.append(annotation("1"))
    repository.append(bobs := annotation("1", by="bob", kind="second", after=60))
    state = after(store, anew := annotation("1", after=90, labels=labels("break")))
    assert (state.is_contradiction, state.disputed) == (True, (anew, bobs))
    assert kappa_by_label([state], ["good"])["good"].both == 1


def test_a_dashboard_that_lists_only_recent_annotations_misses_none(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    one, other = AnnotationRepository(store), AnnotationRepository(store)
    assert other.log("video-1").frames == {}
    now = datetime.now(UTC)
    for minutes in (-1, 0, 1):
        at = now + timedelta(minutes=minutes)
        one.append(annotation(str(minutes + 1), id=str(ULID.from_datetime(at)), at=at))
    assert set(other.log("video-1").frames) == {"0", "1", "2"}, "clocks differ by a minute"


def test_a_save_does_not_wait_for_the_annotations_of_others(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(repository_module, "STALE_SECONDS", 600.0)
    repository = AnnotationRepository(store)
    repository.log("video-1")
    AnnotationRepository(store).append(annotation("1", id=str(ULID())))
    assert repository.log("video-1", without_waiting=True).frames.keys() <= {"1"}
    wait_until(
        lambda: "1" in repository.log("video-1", without_waiting=True).frames,
        60,
        "the log to be listed in the background",
    )
    repository.close()


def test_a_save_after_a_pause_waits_for_the_annotations_of_others(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(repository_module, "STALE_SECONDS", 0.0)
    repository = AnnotationRepository(store)
    repository.log("video-1")
    AnnotationRepository(store).append(annotation("1", id=str(ULID())))
    assert repository.log("video-1", without_waiting=True).frames.keys() == {"1"}


def test_many_annotations_are_copied_for_the_next_process_and_stay_stored(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "COPY_AFTER", 3)
    repository = AnnotationRepository(store)
    for number in range(5):
        repository.append(annotation(str(number), after=number))
    whole = AnnotationRepository(store).log("video-1").frames
    (copy,) = store.keys("labelling/annotation-copies/")
    assert len(list(store.keys("labelling/annotations/"))) == 5
    repository.append(annotation("9", after=9))
    assert AnnotationRepository(store).log("video-1").frames.keys() == {*whole, "9"}
    store.put(copy, b"damaged")
    assert AnnotationRepository(store).log("video-1").frames.keys() == {*whole, "9"}
