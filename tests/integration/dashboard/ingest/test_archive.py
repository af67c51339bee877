from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.dashboard.ingest.archive import Archive, DamagedSegment, read_segment, segments
from services.dashboard.ingest.compaction import compact
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectStore
from tests.verdicts import Line, explanation_of


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return FilesystemStore(tmp_path / "objects")


def test_messages_are_in_object_storage_when_the_future_is_done(store: ObjectStore) -> None:
    archive = Archive(store, seconds=0.05, messages=500)
    verdict = Line().verdict("break")
    began = datetime.now(UTC)
    archive.add([verdict, explanation_of(verdict)]).result(60)
    (key,) = segments(store)
    assert key.split("/")[:2] in [["verdicts", f"{day:%Y-%m-%d}"] for day in (began, datetime.now(UTC))]
    assert list(read_segment(store, key)) == [verdict, explanation_of(verdict)]
    archive.close()


def test_messages_share_a_segment(store: ObjectStore) -> None:
    archive = Archive(store, seconds=60, messages=10)
    kept = [archive.add([verdict]) for verdict in Line().verdicts(10)]
    for future in kept:
        future.result(60)
    assert len(segments(store)) == 1
    archive.close()


def test_a_segment_is_written_after_the_time_of_the_settings(store: ObjectStore) -> None:
    archive = Archive(store, seconds=60, messages=500)
    kept = archive.add(list(Line().verdicts(3)))
    assert not kept.done()
    archive.flush()
    kept.result(60)
    archive.close()


def test_closing_writes_the_open_segment(store: ObjectStore) -> None:
    archive = Archive(store, seconds=60, messages=500)
    kept = archive.add(list(Line().verdicts(3)))
    archive.close()
    kept.result(0)
    assert len(list(read_segment(store, segments(store)[0]))) == 3


def test_a_line_of_a_newer_version_is_skipped(store: ObjectStore) -> None:
    verdict = Line().verdict()
    newer = verdict.encode().replace(b'"version":1', b'"version":99', 1)
    store.put("verdicts/2026-01-01/1200-x.jsonl.gz", gzip.compress(newer + verdict.encode()))
    assert list(read_segment(store, "verdicts/2026-01-01/1200-x.jsonl.gz")) == [verdict]


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-9]], ids=["empty", "foreign", "cut"])
def test_a_damaged_segment_is_named(store: ObjectStore, content: bytes) -> None:
    key = "verdicts/2026-01-01/1200-x.jsonl.gz"
    store.put(key, content)
    if not content:
        assert list(read_segment(store, key)) == []
        return
    with pytest.raises(DamagedSegment, match="1200-x"):
        list(read_segment(store, key))


def put_segment(store: ObjectStore, moment: datetime, *lines: bytes) -> None:
    store.put(f"verdicts/{moment:%Y-%m-%d/%H%M}-{ULID()}.jsonl.gz", gzip.compress(b"".join(lines)))


def test_a_past_hour_becomes_one_segment_without_repetitions(store: ObjectStore) -> None:
    now = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    lines = [verdict.encode() for verdict in Line().verdicts(30)]
    for minute in range(10):
        put_segment(store, now - timedelta(hours=2, minutes=minute), *lines[minute * 3 : minute * 3 + 4])
    put_segment(store, now, lines[0])
    put_segment(store, now - timedelta(minutes=1), lines[1])
    assert compact(store, now) == 9
    over, *running = segments(store)
    assert over.startswith("verdicts/2026-03-02/10-")
    assert len(running) == 2
    assert sorted(message.encode() for message in read_segment(store, over)) == sorted(lines)


def test_a_late_segment_of_a_compacted_hour_is_compacted_too(store: ObjectStore) -> None:
    now = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    first, second, third = (verdict.encode() for verdict in Line().verdicts(3))
    yesterday = now - timedelta(hours=3)
    for line in (first, second):
        put_segment(store, yesterday, line)
    compact(store, now)
    put_segment(store, yesterday, third, first)
    assert compact(store, now) == 1
    (key,) = segments(store)
    assert {message.encode() for message in read_segment(store, key)} == {first, second, third}


def test_a_damaged_segment_is_not_deleted_by_compaction(store: ObjectStore) -> None:
    now = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    put_segment(store, now - timedelta(hours=2), Line().verdict().encode())
    store.put(f"verdicts/2026-03-02/1015-{ULID()}.jsonl.gz", b"no gzip")
    before = segments(store)
    assert compact(store, now) == 0
    assert segments(store) == before
