"""Records: nothing is overwritten, undoing is one more of them, and everybody sees all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.dashboard.labelling.annotations import log as ledgers
from services.dashboard.labelling.annotations.agreement import by_label
from services.dashboard.labelling.annotations.annotation import Record, State
from services.dashboard.labelling.annotations.log import Ledger
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.labelling import labels, record
from tests.processes import wait_until


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def undo(undone: Record, after: int) -> Record:
    return record(*undone.frames, by=undone.by, after=after, labels={}, undoes=undone.id)


def test_the_last_word_holds_and_the_ones_before_are_kept(store: FilesystemStore) -> None:
    ledger = Ledger(store)
    ledger.append(record("3"))
    ledger.append(record("3", "4", by="bob", after=1, labels=labels("break")))
    history = ledger.history("video-1")
    assert {frame: state.first and state.first.by for frame, state in history.states.items()} == {
        "3": "bob",
        "4": "bob",
    }
    assert len(history.records) == len(list(store.keys("labelling/records/video-1/"))) == 2


def test_undoing_brings_back_what_held_before(store: FilesystemStore) -> None:
    ledger = Ledger(store)
    ledger.append(record("3"))
    ledger.append(wrong := record("3", after=1, labels=labels("break")))
    ledger.append(undo(wrong, 2))
    first = ledger.history("video-1").state("3").first
    assert first is not None
    assert first.labels == labels("good")
    ledger.append(undo(first, 3))
    assert ledger.history("video-1").state("3").first is None
    assert len(list(store.keys("labelling/records/"))) == 4


def test_another_dashboard_folds_the_same_from_storage(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "FRESH_SECONDS", 0.0)
    one, other = Ledger(store), Ledger(store)
    said = [record(str(number), after=number) for number in range(30)]
    for each in reversed(said):
        one.append(each)
    assert other.history("video-1").states == one.history("video-1").states
    other.append(undo(said[3], 100))
    other.append(record("5", by="bob", after=101, labels=labels("error")))
    assert one.history("video-1").states == other.history("video-1").states
    assert one.history("video-1").state("3").first is None


def test_a_record_that_was_not_stored_does_not_hold(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(store)
    ledger.history("video-1")

    def fails(*_args: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(store, "put", fails)
    with pytest.raises(StorageUnavailable):
        ledger.append(record("3"))
    assert ledger.history("video-1").state("3").first is None


def test_a_damaged_record_leaves_the_others_standing(store: FilesystemStore) -> None:
    ledger = Ledger(store)
    ledger.append(record("1"))
    store.put("labelling/records/video-1/01JF6Z/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json", b"{")
    assert list(Ledger(store).history("video-1").states) == ["1"]


def test_two_who_differ_contradict_each_other_until_it_is_settled(store: FilesystemStore) -> None:
    ledger = Ledger(store)
    ledger.append(record("1"))
    ledger.append(record("1", by="bob", reading="second", after=1, labels=labels("break")))
    state = ledger.history("video-1").state("1")
    assert (state.contradiction, state.holds) == (True, None)
    ledger.append(record("1", by="cleo", reading="settled", after=2, labels=labels("break")))
    state = ledger.history("video-1").state("1")
    assert state.holds is not None
    assert (state.contradiction, state.holds.by) == (False, "cleo")
    ledger.append(record("1", by="ann", after=3, labels=labels("error")))
    assert ledger.history("video-1").state("1").contradiction, "what was said since was not settled"


def two_who_differ(store: FilesystemStore) -> tuple[Record, Record]:
    ledger = Ledger(store)
    anns, bobs = record("1"), record("1", by="bob", reading="second", after=60, labels=labels("break"))
    ledger.append(anns)
    ledger.append(bobs)
    return anns, bobs


def after(store: FilesystemStore, *records: Record) -> State:
    """What holds of the frame after that, whether it is folded one by one or read anew."""
    ledger = Ledger(store)
    for each in records:
        ledger.append(each)
    state = ledger.history("video-1").state("1")
    assert Ledger(store).history("video-1").state("1") == state
    return state


def test_a_contradiction_stays_until_it_is_settled_whatever_the_first_reader_says_later(store: FilesystemStore) -> None:
    anns, bobs = two_who_differ(store)
    state = after(store, follows := record("1", after=90, labels=labels("break")))
    assert state.first == follows
    assert (state.contradiction, state.holds, state.sides) == (True, None, (anns, bobs))
    assert state.later == [follows], "it is shown, but settles nothing"
    assert by_label([state], ["good"])["good"].only_first == 1
    state = after(store, settled := record("1", by="cleo", reading="settled", after=120, labels=labels("break")))
    assert (state.contradiction, state.holds) == (False, settled)
    assert not after(store, record("1", after=130, labels=labels("break"))).contradiction, "she says the same by now"
    assert by_label([state], ["good"])["good"].only_first == 1, "they did differ"


def test_a_contradiction_stays_though_either_reader_takes_back_what_they_said(store: FilesystemStore) -> None:
    anns, bobs = two_who_differ(store)
    state = after(store, undo(anns, 200), undo(bobs, 201))
    assert (state.first, state.second, state.contradiction, state.sides) == (None, None, True, (anns, bobs))
    state = after(store, record("1", by="cleo", reading="settled", after=210, labels=labels("error")))
    assert state.holds is not None
    assert (state.contradiction, state.holds.by) == (False, "cleo")


def test_a_second_reading_may_be_corrected_at_once_and_later_it_is_another_opinion(store: FilesystemStore) -> None:
    anns, bobs = two_who_differ(store)
    state = after(store, corrected := record("1", by="bob", reading="second", after=80))
    assert (state.contradiction, state.independent) == (False, (anns, corrected))
    assert after(store, undo(corrected, 100)).independent == (anns, bobs)
    assert after(store, undo(bobs, 110)).independent is None
    again = record("1", by="bob", reading="second", after=300, labels=labels("error"))
    assert after(store, again).independent == (anns, again)
    assert after(store, record("1", by="bob", reading="second", after=400)).independent == (anns, again)


def test_who_relabelled_a_frame_that_both_agreed_about_contradicts_the_other(store: FilesystemStore) -> None:
    ledger = Ledger(store)
    ledger.append(record("1"))
    ledger.append(bobs := record("1", by="bob", reading="second", after=60))
    state = after(store, anew := record("1", after=90, labels=labels("break")))
    assert (state.contradiction, state.sides) == (True, (anew, bobs))
    assert by_label([state], ["good"])["good"].both == 1


def test_a_dashboard_that_looks_at_the_newest_alone_misses_nothing(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "FRESH_SECONDS", 0.0)
    one, other = Ledger(store), Ledger(store)
    assert other.history("video-1").states == {}
    now = datetime.now(UTC)
    for minutes in (-1, 0, 1):
        at = now + timedelta(minutes=minutes)
        one.append(record(str(minutes + 1), id=str(ULID.from_datetime(at)), at=at))
    assert set(other.history("video-1").states) == {"0", "1", "2"}, "clocks differ by a minute"


def test_who_saves_does_not_wait_for_what_others_said(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(ledgers, "PAUSE_SECONDS", 600.0)
    ledger = Ledger(store)
    ledger.history("video-1")
    Ledger(store).append(record("1", id=str(ULID())))
    assert ledger.history("video-1", at_once=True).states.keys() <= {"1"}
    wait_until(lambda: "1" in ledger.history("video-1", at_once=True).states, 60, "it to be looked for behind")
    ledger.close()


def test_who_saves_after_a_pause_knows_what_others_said_in_it(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(ledgers, "PAUSE_SECONDS", 0.0)
    ledger = Ledger(store)
    ledger.history("video-1")
    Ledger(store).append(record("1", id=str(ULID())))
    assert ledger.history("video-1", at_once=True).states.keys() == {"1"}


def test_many_records_are_gathered_for_the_next_process_and_stay_where_they_are(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "GATHER", 3)
    ledger = Ledger(store)
    for number in range(5):
        ledger.append(record(str(number), after=number))
    whole = Ledger(store).history("video-1").states
    (gathered,) = store.keys("labelling/gathered/")
    assert len(list(store.keys("labelling/records/"))) == 5
    ledger.append(record("9", after=9))
    assert Ledger(store).history("video-1").states.keys() == {*whole, "9"}
    store.put(gathered, b"damaged")
    assert Ledger(store).history("video-1").states.keys() == {*whole, "9"}
