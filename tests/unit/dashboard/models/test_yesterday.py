"""The effect of thresholds on yesterday's frames: read once from the archive, in the background and in bounds."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ulid import ULID

from services.dashboard.models import yesterday
from services.dashboard.models.yesterday import DayScores, YesterdayFrames, effect_on, read_scores
from shared.messages import FrameInspected, Message
from shared.recipe import parse_recipe
from shared.shifts import Shifts
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.dashboards import put_yesterday
from tests.verdicts import LABELS, RECIPE, Line, explanation_of

FIRST = datetime(2026, 1, 31, tzinfo=UTC)
LAST = FIRST + timedelta(days=1)
NOON = FIRST + timedelta(hours=12)
SEAM = parse_recipe(RECIPE)
WHOLE_DAY = Shifts.parse("06:00", "UTC")


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def archive(store: FilesystemStore, messages: Iterable[Message], at: datetime = NOON) -> str:
    key = f"verdicts/{at:%Y-%m-%d/%H%M}-{ULID()}.jsonl.gz"
    store.put(key, gzip.compress(b"".join(message.encode() for message in messages)))
    return key


def frames(count: int, fault: str | None = None, at: datetime = NOON, **changes: Any) -> list[FrameInspected]:
    line = Line(start=at)
    return [line.verdict(fault, **changes) for _ in range(count)]


def read(store: FilesystemStore) -> DayScores:
    return read_scores(store, "seam", LABELS, "model-1", first=FIRST, last=LAST)


def test_the_frames_of_the_model_on_that_day_are_read_each_once(store: FilesystemStore) -> None:
    found = frames(3, "break")
    others = [*frames(2, model_version="model-2"), *frames(2, recipe="hem"), *frames(2, findings={})]
    archive(store, [*found, explanation_of(found[0]), *others, *found])
    early, late = FIRST - timedelta(seconds=1), LAST - timedelta(seconds=1)
    archive(store, frames(1, at=early), early)
    archive(store, frames(1, at=late), LAST + timedelta(minutes=5))
    scores = read(store)
    assert (scores.found, scores.scores.shape, scores.lines, scores.complete) == (4, (4, 4), ("line-1",), True)
    assert sorted(scores.scores[:, LABELS.index("break")].round(2).tolist()) == pytest.approx([0.04, 0.93, 0.93, 0.93])


def test_a_sample_of_many_frames_is_held_and_all_are_counted(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yesterday, "MOST_FRAMES", 10)
    archive(store, [*frames(40), *frames(40, "break")])
    scores = read(store)
    assert (scores.found, len(scores.scores), scores.complete) == (80, 10, True)
    assert len(set(scores.scores[:, 0].tolist())) == 2, "early and late frames have the same chance"


def test_of_a_long_day_a_part_is_read_that_is_spread_over_it(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [FIRST + timedelta(hours=hour) for hour in range(24)]
    sizes = [len(store.get(archive(store, frames(20, at=hour), hour))) for hour in hours]
    monkeypatch.setattr(yesterday, "MOST_BYTES", sum(sizes) // 2 + 24)
    scores = read(store)
    assert (scores.found, scores.complete) == (12 * 20, False)


def test_a_damaged_segment_is_left_out(store: FilesystemStore) -> None:
    archive(store, frames(3))
    store.put(f"verdicts/{FIRST:%Y-%m-%d}/1300-{ULID()}.jsonl.gz", b"no gzip")
    scores = read(store)
    assert (scores.found, scores.complete) == (3, False)


def test_thresholds_change_the_verdicts_of_frames(store: FilesystemStore) -> None:
    archive(store, [*frames(5), *frames(2, "break")])
    scores = read(store)

    def effect(**thresholds: float) -> tuple[int, int, int, int]:
        found = effect_on(scores, SEAM, thresholds, FIRST.date())
        return found.ok, found.ng, found.ok_to_ng, found.ng_to_ok

    assert effect() == (5, 2, 0, 0)
    assert effect(good=0.95) == (5, 2, 5, 0)
    assert effect(**{"break": 0.95}) == (5, 2, 0, 0), "the label good still finds them"
    assert effect(**{"break": 0.95, "good": 0.01}) == (5, 2, 0, 2)


def test_the_archive_is_read_once_in_the_background(store: FilesystemStore) -> None:
    put_yesterday(store, None, "break", None)
    service = YesterdayFrames(store, WHOLE_DAY)
    found = service.effect(SEAM, "model-1", {}, timeout=60)
    assert (found.counted, found.frames, found.ng, found.lines) == (True, 3, 1, ["line-1"])
    with patch.object(store, "objects", side_effect=AssertionError("it is not read again")):
        assert service.effect(SEAM, "model-1", {"good": 0.95}, timeout=60).ok_to_ng == 2


def test_a_day_without_frames_is_counted_as_such(store: FilesystemStore) -> None:
    found = YesterdayFrames(store, WHOLE_DAY).effect(SEAM, "model-1", {"good": 0.9}, timeout=60)
    assert (found.counted, found.frames, found.ok_to_ng, found.trouble) == (True, 0, 0, "")


def test_the_archive_is_read_again_after_a_failure(store: FilesystemStore) -> None:
    put_yesterday(store, None)
    service = YesterdayFrames(store, WHOLE_DAY)
    with patch.object(store, "objects", side_effect=StorageUnavailable("away")):
        failed = service.effect(SEAM, "model-1", {}, timeout=60)
    assert (failed.counted, failed.trouble) == (False, "away")
    assert service.effect(SEAM, "model-1", {}, timeout=60).frames == 1


def test_a_frame_in_two_segments_is_counted_once(store: FilesystemStore) -> None:
    found = frames(3, "break")
    archive(store, found)
    archive(store, [found[1], *frames(1)], NOON + timedelta(minutes=5))
    scores = read(store)
    assert (scores.found, len(scores.scores)) == (4, 4)
