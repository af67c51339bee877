"""A record that can't be read is skipped wherever many records are read, and is reported."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from fakeredis import FakeRedis
from ulid import ULID

from services.dashboard.access.audit import Audit
from services.dashboard.access.directory import PersonAdded
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.schemas import Mark
from services.dashboard.ingest.compaction import compact
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.videos.repository import UploadedVideo, VideoRepository
from services.dashboard.models.names import VersionNames
from services.dashboard.models.repository import ModelRepository
from services.dashboard.models.service import ModelsService
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.web.callers import Role
from services.trainer.jobs.trainings import Trainings
from shared.contracts.promotion import Promotion, history_of, production_history, store_decision, store_promotion
from shared.messages import PromotionRefused
from shared.storage.filesystem import FilesystemStore
from shared.storage.records import unreadable_records
from tests.dashboards import put_model
from tests.labelling import annotation
from tests.messages import training_requested
from tests.verdicts import RECIPE, Line

NOW = datetime.now(UTC)
Look = Callable[[FilesystemStore], list[Any]]


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def people(store: FilesystemStore) -> list[Any]:
    register = PeopleRepository(store)
    if not register.directory().people:
        register.store(PersonAdded(by="set-up", at=NOW, name="eva", role=Role.ADMIN, password="a hash"))
    register.store(PersonAdded(by="eva", at=NOW, name="bob", role=Role.VIEWER, password="a hash"))
    return sorted(PeopleRepository(store).directory().people)


def audit(store: FilesystemStore) -> list[Any]:
    entries = Audit(store)
    if not list(store.keys("audit/")):
        entries.record("model.promote", "seam/model-1", "eva")
    return [entry.by for entry in Audit(store).newest(NOW - timedelta(days=1), NOW + timedelta(days=1), None)]


def marks(store: FilesystemStore) -> list[Any]:
    verdict = Line().verdict("break")
    mark = Mark(
        **verdict.model_dump(include={"verdict", "recipe", "model_version", "image_key"}),
        frame=verdict.frame,
        note="",
        marked_by="eva",
        marked_at=NOW,
    )
    if not list(store.keys("marks/")):
        store.put(f"marks/line-1/2026-01-01/{verdict.frame.frame_id}.json", mark.model_dump_json().encode())
    return [mark.marked_by for mark in Marks(store, cast("Any", None)).newest(None, 10).marks]


def labels(store: FilesystemStore) -> list[Any]:
    if not list(store.keys("labelling/annotations/")):
        AnnotationRepository(store).append(annotation("3"))
    repository = AnnotationRepository(store)
    return [each.by for source in repository.sources() for each in repository.log(source).annotations]


def videos(store: FilesystemStore) -> list[Any]:
    video = UploadedVideo(
        id=str(ULID()),
        name="video",
        kind="video",
        recipe_yaml=RECIPE,
        frames=1,
        width=8,
        height=8,
        frames_per_second=25,
        size=1,
        parts=1,
        digest="",
        uploaded_by="eva",
        uploaded_at=NOW,
    )
    if not list(store.keys("labelling/videos/")):
        store.put(f"labelling/videos/{video.id}/video.json", video.model_dump_json().encode())
    return [video.uploaded_by for video in VideoRepository(store).all()]


def models(store: FilesystemStore) -> list[Any]:
    if not list(store.keys("models/")):
        put_model(store)
    redis = FakeRedis(decode_responses=True)
    repository = ModelRepository(redis, Keys("test"), Announcer(redis, Keys("test")))
    service = ModelsService(store, repository, VersionNames(store), cast("Any", None))
    return [model.version for model in service.newest("seam").models]


def promotions(store: FilesystemStore) -> list[Any]:
    if not list(store.keys("promotions/")):
        store_decision(
            store,
            PromotionRefused(
                promotion_id="promotion-1",
                recipe="seam",
                model_version="model-2",
                reason="escapes",
                at=NOW,
                by="eva",
            ),
        )
    return [entry.by for entry in history_of(store, "seam")]


def moves(store: FilesystemStore) -> list[Any]:
    if not list(store.keys("models/")):
        for sequence in (1, 3):
            store_promotion(
                store,
                Promotion(
                    sequence=sequence,
                    recipe="seam",
                    version=f"model-{sequence}",
                    digest="0" * 64,
                    previous=None,
                    by="eva",
                    reason="",
                    at=NOW,
                ),
            )
    return [move.version for move in production_history(store, "seam")]


def trainings(store: FilesystemStore) -> list[Any]:
    if not list(store.keys("trainings/")):
        Trainings(store, "a trainer", 60).add(training_requested())
    return [request.training_id for request in Trainings(store, "another", 60).list_open()]


def decisions(store: FilesystemStore) -> list[Any]:
    return [decision.by for decision in ParkedMessages(cast("Any", None), store).decisions().decisions]


TODAY = f"{NOW:%Y-%m-%d}"
FOLDS: dict[str, tuple[Look, list[str]]] = {
    "people": (people, ["people/7ZZZZZZZZZZZZZZZZZZZZZZZZZ.json", f"people/{ULID()}.json", "people/stray.json"]),
    "audit": (audit, [f"audit/{TODAY}/{ULID()}.json", f"audit/{TODAY}/stray.json"]),
    "marks": (marks, ["marks/line-1/2026-01-02/x.json", "marks/stray"]),
    "labels": (labels, [f"labelling/annotations/video-1/00000000/{ULID()}.json", "labelling/annotations/stray"]),
    "videos": (videos, [f"labelling/videos/{ULID()}/video.json", "labelling/videos/stray"]),
    "models": (models, ["models/seam/model-2/manifest.json", "models/stray"]),
    "promotions": (promotions, ["promotions/seam/stray.json"]),
    "moves": (moves, ["models/seam/production/00000002.json"]),
    "trainings": (trainings, ["trainings/training-2/request.json", "trainings/stray"]),
    "decisions": (decisions, [f"parked/{TODAY}/{ULID()}.json", f"parked/{TODAY}/stray.json"]),
}


@pytest.mark.parametrize("content", [b"{}", b"\xff\x00 no JSON", b"[" * 100_000], ids=["empty", "no JSON", "deep"])
@pytest.mark.parametrize("fold", FOLDS)
def test_an_object_that_cant_be_read_hides_no_other(store: FilesystemStore, fold: str, content: bytes) -> None:
    look, keys = FOLDS[fold]
    before = look(store)
    for key in keys:
        store.put(key, content)
    assert look(store) == before
    assert keys[0] in unreadable_records()


def test_an_object_that_was_mended_is_read_and_no_longer_reported(store: FilesystemStore) -> None:
    change_id = str(ULID())
    store.put(f"people/{change_id}.json", b"{}")
    register = PeopleRepository(store, 0.0)
    assert register.directory().people == {}
    added = PersonAdded(by="set-up", at=NOW, name="eva", role=Role.ADMIN, password="a hash")
    store.put(f"people/{change_id}.json", added.model_dump_json().encode())
    assert PeopleRepository(store).directory().people.keys() == {"eva"}
    assert f"people/{change_id}.json" not in unreadable_records()


def test_the_report_of_a_record_holds_nothing_of_it(store: FilesystemStore) -> None:
    key = f"people/{ULID()}.json"
    store.put(key, b'{"kind": "person.add", "name": "eva", "password": "a-secret-hash"}')
    PeopleRepository(store).directory()
    assert "a-secret-hash" not in unreadable_records()[key]


def test_an_hour_with_a_damaged_segment_does_not_keep_others_from_being_merged(store: FilesystemStore) -> None:
    lines = [verdict.encode() for verdict in Line().verdicts(4)]
    for hour, contents in (("10", [gzip.compress(lines[0]), b"no gzip"]), ("11", list(map(gzip.compress, lines[1:3])))):
        for content in contents:
            store.put(f"verdicts/2026-03-02/{hour}15-{ULID()}.jsonl.gz", content)
    assert compact(store, datetime(2026, 3, 2, 14, tzinfo=UTC)) == 1
    assert len(list(store.keys("verdicts/2026-03-02/11"))) == 1
    assert len(list(store.keys("verdicts/2026-03-02/10"))) == 2
