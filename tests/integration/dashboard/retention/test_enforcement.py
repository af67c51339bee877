"""The retention rules on a folder, and on a real S3 server: orders of the dashboard, carried out by the owners."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from ulid import ULID

from services.dashboard.access.audit import Audit, AuditEntry
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.pending_removals import PendingRemovals
from services.dashboard.ingest.condensing import Condenser
from services.dashboard.labelling.annotations.annotation import InspectedFrame
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.projection import Projection
from services.dashboard.retention.enforcement import ANNOUNCED_FOR, INVENTORY_EVERY, RetentionEnforcer
from services.dashboard.retention.referenced_frames import ReferencedFramesReader
from services.dashboard.retention.repository import StorageRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.contracts.removal_orders import FOLDER, RemovalOrder
from shared.contracts.retention_rules import DataKind
from shared.health import Health
from shared.messages import FrameInspected
from shared.removal_worker import RemovalWorker
from shared.storage.port import ObjectStore
from tests.dashboards import embedded_settings, redis_of
from tests.labelling import annotation
from tests.verdicts import Line

NOW = datetime.now(UTC)
RULES = "ok=3d, ng=30d, heatmaps=5d, captured=1d"


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    servers = {}
    if request.param == "servers":
        bucket = request.getfixturevalue("s3")
        servers = {
            "storage_url": bucket.url,
            "storage_access_key": bucket.access_key,
            "storage_secret_key": bucket.secret_key,
            **redis_of(request.getfixturevalue("redis_url")),
        }
    return embedded_settings(tmp_path, redis_prefix=f"test-{str(ULID()).lower()}", retention=RULES, **servers)


@pytest.fixture
def stored(redis: Redis, keys: Keys) -> StorageRepository:
    return StorageRepository(redis, keys)


@pytest.fixture
def enforcer(
    projection: Projection, stored: StorageRepository, settings: DashboardSettings, store: ObjectStore
) -> Iterator[RetentionEnforcer]:
    with closing(ReferencedFramesReader(store, projection.lines, projection.counting)) as references:
        yield RetentionEnforcer(
            settings,
            store=store,
            audit_store=store,
            audit=Audit(store),
            references=references,
            condenser=Condenser(store, projection.watermark, projection.counting),
            repository=stored,
            ready=lambda: True,
            stop=threading.Event(),
        )


class Frames:
    """Frames of one line, with files, by their age in days."""

    def __init__(self, store: ObjectStore, projection: Projection) -> None:
        self._store = store
        self._projection = projection
        self._line = Line(start=NOW)

    def add(self, age: int, *names: str, batch: str | None = None) -> FrameInspected:
        verdict = self._line.verdict("break", after=-age * 86_400)
        frame = verdict.frame.model_copy(update={"batch": batch})
        verdict = verdict.model_copy(update={"frame": frame, "image_key": f"{frame.storage_key}/{names[0]}"})
        for name in names:
            self._store.put(f"{frame.storage_key}/{name}", b"a file of a frame")
        self._projection.projector.apply([verdict])
        return verdict

    def files(self, verdict: FrameInspected) -> list[str]:
        return [key.rpartition("/")[2] for key in self._store.keys(f"{verdict.frame.storage_key}/")]


@pytest.fixture
def frames(store: ObjectStore, projection: Projection) -> Frames:
    return Frames(store, projection)


def carry_out(store: ObjectStore) -> int:
    return sum(
        RemovalWorker(store, owner).carry_out(threading.Event(), Health()) for owner in ("inference", "explainer")
    )


def entries(store: ObjectStore) -> list[AuditEntry]:
    return [AuditEntry.model_validate_json(store.get(key)) for key in store.keys("audit/")]


def test_what_is_over_its_age_is_removed_by_its_owner_and_nothing_else(
    enforcer: RetentionEnforcer, frames: Frames, store: ObjectStore, projection: Projection, stored: StorageRepository
) -> None:
    old_ok = frames.add(4, "image.ok.jpg")
    new_ok = frames.add(2, "image.ok.jpg")
    ng = frames.add(10, "image.ng.jpg", "heatmap.break.png", "overlay.jpg", "captured.png")
    old_ng = frames.add(31, "image.ng.jpg")
    unsure = frames.add(300, "image.unsure.jpg")
    store.put("models/seam/v-1/manifest.json", b"{}")
    before = projection.counting.total("line-1")

    enforcer.enforce(NOW)
    assert carry_out(store) == 0, "announced, and not ordered yet"
    assert frames.files(old_ok) == ["image.ok.jpg"]
    enforcer.enforce(NOW + ANNOUNCED_FOR)
    assert carry_out(store) == 5
    assert [frames.files(each) for each in (old_ok, new_ok, ng, old_ng, unsure)] == [
        [], ["image.ok.jpg"], ["image.ng.jpg"], [], ["image.unsure.jpg"],
    ]  # fmt: skip
    assert store.exists("models/seam/v-1/manifest.json")
    assert list(store.keys(f"{FOLDER}/")) == []
    assert projection.counting.total("line-1") == before

    told = {entry.subject: entry for entry in entries(store)}
    assert set(told) == {"ok", "ng", "heatmaps", "captured"}
    assert {(entry.action, entry.by) for entry in told.values()} == {("retention.remove", "retention")}
    assert told["heatmaps"].details["objects"] == 2
    assert told["ok"].details["first"] == f"{old_ok.frame.storage_key}/image.ok.jpg"

    view = stored.last()
    assert view is not None
    sizes = {kind.kind: (kind.objects, kind.rule) for kind in view.kinds}
    assert sizes[DataKind.NG] == (2, "30 days"), "as it was at the inventory"
    assert sizes[DataKind.UNSURE] == (1, "for ever")


def test_labelled_and_marked_frames_and_those_of_the_open_batch_stay(
    enforcer: RetentionEnforcer, frames: Frames, store: ObjectStore, projection: Projection, stored: StorageRepository
) -> None:
    old = [frames.add(age, "image.ok.jpg", "overlay.jpg", batch=f"batch-{age}") for age in (9, 10, 11, 12)]
    marked, labelled, open_batch, loose = old[0], old[1], frames.add(8, "image.ok.jpg", batch="batch-8"), old[2]
    Marks(store, projection.frames).mark(marked.frame.frame_id, "", "eva")
    inspected = InspectedFrame.of(labelled)
    assert inspected is not None
    name = labelled.frame.frame_id
    annotations = AnnotationRepository(store)
    annotations.append(annotation(name, source="line-seam", inspected={name: inspected}))

    enforcer.enforce(NOW)
    enforcer.enforce(NOW + ANNOUNCED_FOR)
    carry_out(store)
    assert frames.files(marked) == ["image.ok.jpg", "overlay.jpg"]
    assert frames.files(labelled) == ["image.ok.jpg", "overlay.jpg"]
    assert frames.files(open_batch) == ["image.ok.jpg"]
    assert frames.files(loose) == []
    view = stored.last()
    assert view is not None
    assert {kind.kind: kind.objects for kind in view.kinds}[DataKind.REFERENCED] == 4
    annotations.close()


def test_a_label_that_is_stored_after_the_announcement_holds_its_frame_and_a_later_one_is_refused(
    enforcer: RetentionEnforcer, frames: Frames, store: ObjectStore, projection: Projection
) -> None:
    labelled, loose = frames.add(9, "image.ok.jpg"), frames.add(9, "image.ok.jpg")
    marks, removals = Marks(store, projection.frames), PendingRemovals(store)
    removals.refuse([loose.frame.frame_id])
    enforcer.enforce(NOW)
    name = labelled.frame.frame_id
    inspected = InspectedFrame.of(labelled)
    assert inspected is not None
    annotations = AnnotationRepository(store)  # a request that was checked just before the announcement
    annotations.append(annotation(name, source="line-seam", inspected={name: inspected}))
    for frame in (loose, labelled):
        with pytest.raises(Problem, match="a retention rule is removing its files"):
            marks.mark(frame.frame.frame_id, "", "eva")
    enforcer.enforce(NOW + ANNOUNCED_FOR)
    with pytest.raises(Problem, match="a retention rule is removing its files"):
        marks.mark(loose.frame.frame_id, "", "eva")
    carry_out(store)
    assert (frames.files(labelled), frames.files(loose)) == (["image.ok.jpg"], [])
    marks.mark(name, "", "eva")
    annotations.close()


def test_an_owner_leaves_what_is_not_its_own(store: ObjectStore, frames: Frames) -> None:
    verdict = frames.add(9, "image.ng.jpg", "overlay.jpg")
    store.put("models/seam/v-1/manifest.json", b"{}")
    keys = [f"{verdict.frame.storage_key}/image.ng.jpg", f"{verdict.frame.storage_key}/overlay.jpg"]
    order = RemovalOrder(kind=DataKind.NG, announced_at=NOW, keys=(*keys, "models/seam/v-1/manifest.json"))
    store.put(f"{FOLDER}/explainer/{ULID()}.json", order.model_dump_json().encode())
    store.put(f"{FOLDER}/explainer/{ULID()}.json", b"no order")
    assert carry_out(store) == 1
    assert frames.files(verdict) == ["image.ng.jpg"]
    assert store.exists("models/seam/v-1/manifest.json")
    assert len(list(store.keys(f"{FOLDER}/"))) == 1, "what can't be read stays, and is reported"


def test_an_owner_that_is_to_stop_leaves_the_rest_of_its_order_for_later(store: ObjectStore, frames: Frames) -> None:
    verdict = frames.add(9, "image.ng.jpg")
    order = RemovalOrder(kind=DataKind.NG, announced_at=NOW, keys=(f"{verdict.frame.storage_key}/image.ng.jpg",))
    store.put(f"{FOLDER}/inference/{ULID()}.json", order.model_dump_json().encode())
    stop = threading.Event()
    stop.set()
    assert RemovalWorker(store, "inference").carry_out(stop, Health()) == 0
    assert frames.files(verdict) == ["image.ng.jpg"]
    assert carry_out(store) == 1
    assert list(store.keys(f"{FOLDER}/")) == []


def test_without_rules_nothing_is_removed(
    enforcer: RetentionEnforcer, frames: Frames, store: ObjectStore, settings: DashboardSettings
) -> None:
    verdict = frames.add(4_000, "image.ok.jpg", "overlay.jpg")
    enforcer._rules = settings.model_copy(update={"retention": "none"}).retention_rules
    for hours in range(3):
        enforcer.enforce(NOW + hours * INVENTORY_EVERY)
    assert carry_out(store) == 0
    assert frames.files(verdict) == ["image.ok.jpg", "overlay.jpg"]
    assert entries(store) == []


def test_old_entries_of_an_audit_log_in_the_common_storage_go_by_their_rule(
    enforcer: RetentionEnforcer, store: ObjectStore, settings: DashboardSettings
) -> None:
    for age in (11, 9):
        store.put(f"audit/{NOW - timedelta(days=age):%Y-%m-%d}/{ULID()}.json", b"{}")
    enforcer._rules = settings.model_copy(update={"retention": "audit=10d"}).retention_rules
    enforcer.enforce(NOW)
    assert [key.split("/")[1] for key in store.keys("audit/")] == [f"{NOW - timedelta(days=9):%Y-%m-%d}"]
