"""The effect of thresholds on yesterday's frames: the scores of their verdicts, in the archive, give other verdicts.

A thread reads the archive, so that no page waits for it; of a plant with many frames it reads a part, spread evenly
over the day.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pydantic_core import from_json

from services.dashboard.ingest.archive import FOLDER, DamagedSegment, lines_of
from services.dashboard.store.refreshed import Refreshed
from shared.recipe import Recipe
from shared.shifts import Shifts
from shared.storage.port import ObjectNotFound, ObjectStore, StoredObject
from shared.verdict import ng_images, present_labels

MOST_BYTES: Final = 32_000_000
"""Bytes of the segments that are read, at most: some half a million verdicts."""
MOST_FRAMES: Final = 10_000
"""Frames whose scores are held: all of a slow line, and of a fast one as many by chance."""
FRESH_SECONDS: Final = 3_600.0
MOST_COUNTED: Final = 8
"""Models whose scores are held."""
LATE: Final = timedelta(hours=1)
"""Time in which the verdict of a frame is archived after its capture."""

_log = structlog.stdlib.get_logger("yesterday")


class YesterdayEffect(BaseModel):
    """The effect of thresholds on the frames that the model inspected yesterday, on the plant's clock."""

    day: date
    counted: bool = Field(description="false: the frames are being read, which takes some seconds: ask again")
    trouble: str = Field("", description="why the frames could not be read; empty: they were, or are being read")
    frames: int = Field(0, description="frames whose verdicts are compared: those with a score, or a sample of them")
    found: int = Field(0, description="frames with a score that were found, of which `frames` are a random sample")
    complete: bool = Field(True, description="false: a part of the day was read, spread evenly over it")
    lines: list[str] = Field(default=[], description="the lines of these frames")
    ok: int = Field(0, description="frames that are OK with the present thresholds")
    ng: int = Field(0, description="frames that are NG with the present thresholds")
    ok_to_ng: int = Field(0, description="OK frames that would be NG")
    ng_to_ok: int = Field(0, description="NG frames that would be OK")


@dataclass(frozen=True)
class DayScores:
    """The scores of a model's frames of one day."""

    scores: NDArray[np.float32]
    """(frames, labels), in the recipe's order."""
    found: int
    lines: tuple[str, ...]
    complete: bool


class YesterdayFrames:
    """Reads yesterday's scores of a model once, and computes verdicts with other thresholds from them."""

    def __init__(self, store: ObjectStore, shifts: Shifts) -> None:
        self._store = store
        self._shifts = shifts
        self._one_at_a_time = threading.Lock()
        self._scores = lru_cache(maxsize=MOST_COUNTED)(self._scores_of)

    def effect(
        self, recipe: Recipe, version: str, thresholds: Mapping[str, float], timeout: float = 0.1
    ) -> YesterdayEffect:
        """Return the effect of other thresholds; wait at most ``timeout`` seconds for the scores to be read."""
        first, last = self._shifts.yesterday(datetime.now(UTC))
        scores = self._scores(recipe.name, recipe.label_names, version, first, last)
        read = scores.get(timeout)
        if read.value is not None:
            return effect_on(read.value, recipe, thresholds, first.date())
        if read.error is None or isinstance(read.error, TimeoutError):
            return YesterdayEffect(day=first.date(), counted=False)
        scores.invalidate()  # the next request tries again
        return YesterdayEffect(day=first.date(), counted=False, trouble=str(read.error))

    def _scores_of(
        self, recipe: str, labels: tuple[str, ...], version: str, first: datetime, last: datetime
    ) -> Refreshed[DayScores]:
        def read() -> DayScores:
            with self._one_at_a_time:
                return read_scores(self._store, recipe, labels, version, first=first, last=last)

        return Refreshed(read, fresh_seconds=FRESH_SECONDS, name="yesterday")


def effect_on(found: DayScores, recipe: Recipe, thresholds: Mapping[str, float], day: date) -> YesterdayEffect:
    """Return the effect of other thresholds on the frames of a day."""
    was, becomes = (
        ng_images(recipe, present_labels(applied, found.scores))
        for applied in (recipe, recipe.with_thresholds(thresholds))
    )
    return YesterdayEffect(
        day=day,
        counted=True,
        frames=len(found.scores),
        found=found.found,
        complete=found.complete,
        lines=list(found.lines),
        ok=int((~was).sum()),
        ng=int(was.sum()),
        ok_to_ng=int((~was & becomes).sum()),
        ng_to_ok=int((was & ~becomes).sum()),
    )


def read_scores(
    store: ObjectStore, recipe: str, labels: Sequence[str], version: str, *, first: datetime, last: datetime
) -> DayScores:
    """Read the scores of the frames of a model that were captured from ``first`` to before ``last``.

    Raises:
        StorageError: object storage failed.
    """
    segments = list(_segments(store, first, last))
    every = -(-sum(segment.size for segment in segments) // MOST_BYTES) or 1
    sample: list[list[float]] = []
    lines = set[str]()
    seen = set[str]()  # a verdict is sent again where its image had to wait for storage, maybe into another segment
    found, complete, rng = 0, every == 1, random.Random(0)  # noqa: S311  not for secrets
    for segment in segments[::every]:
        try:
            for frame, findings in _verdicts(store, segment.key, recipe, version):
                in_time = first <= datetime.fromisoformat(frame["captured_at"]) < last
                if not in_time or not findings.keys() >= set(labels) or frame["frame_id"] in seen:
                    continue
                seen.add(frame["frame_id"])
                found += 1
                lines.add(frame["line"])
                scores = [findings[label]["score"] for label in labels]
                if len(sample) < MOST_FRAMES:
                    sample.append(scores)
                elif (place := rng.randrange(found)) < MOST_FRAMES:  # so each frame is in the sample by equal chance
                    sample[place] = scores
        except (DamagedSegment, ObjectNotFound) as error:  # it is merged with others at this moment, or damaged
            complete = False
            _log.warning("left out a segment of yesterday", segment=segment.key, reason=str(error))
    table = np.array(sample, np.float32).reshape(len(sample), len(labels))
    return DayScores(table, found, tuple(sorted(lines)), complete)


def _segments(store: ObjectStore, first: datetime, last: datetime) -> Iterator[StoredObject]:
    """Yield the segments with the verdicts of a time; a segment is named by the time of writing, to the hour."""
    start, end = first.astimezone(UTC) - LATE, last.astimezone(UTC) + LATE
    for age in range((end.date() - start.date()).days + 1):
        day = start.date() + timedelta(days=age)
        for segment in store.objects(f"{FOLDER}/{day}/"):
            hour = segment.key.rpartition("/")[2][:2]
            if hour.isdigit() and start < datetime(day.year, day.month, day.day, int(hour), tzinfo=UTC) < end:
                yield segment


def _verdicts(
    store: ObjectStore, key: str, recipe: str, version: str
) -> Iterator[tuple[dict[str, Any], dict[str, dict[str, float]]]]:
    """Yield the identity and the findings of each verdict of a model in a segment; some frames have two.

    They are not validated again: the archive holds valid messages alone, and validating takes most of the time.
    """
    signs = b'"type":"FrameInspected"', b'"model_version":"%s"' % version.encode(), b'"recipe":"%s"' % recipe.encode()
    for line in lines_of(store, key):
        if all(sign in line for sign in signs):
            verdict = from_json(line)
            if verdict["recipe"] == recipe:
                yield verdict["frame"], verdict["findings"]
