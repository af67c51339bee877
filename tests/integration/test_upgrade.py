"""Today's services read what the first commit of the release has written."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.embedded.state import state_for_one
from services.camera.outbox import Outbox
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.assembly import build_rebuilder
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.projection import Projection
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from services.gateway.journal import Journal
from services.inference.model import load_model
from shared.contracts.bundle import read_bundle
from shared.contracts.dataset import datasets, get_image, newest_version
from shared.contracts.promotion import last_promotion
from shared.messages import FrameCaptured, Verdict, decode
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.topology import INFERENCE_FRAMES
from tests.dashboards import embedded_settings
from tests.models import painted
from tests.upgrade.write import ARCHIVE, OUTBOX, SUMMARY, WAITING


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a copy of the state folder."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def store(state: Path) -> FilesystemStore:
    return FilesystemStore(state / "objects")


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    """What the line said of its frames when it ended."""
    said: dict[str, Any] = json.loads(zipfile.ZipFile(ARCHIVE).read(SUMMARY))
    return said


def test_the_counts_of_frames_and_parts_are_rebuilt(
    state: Path, store: FilesystemStore, summary: dict[str, Any]
) -> None:
    settings = embedded_settings(state)
    redis, keys = open_redis(settings), Keys(settings.redis_prefix)
    build_rebuilder(redis, keys, settings, store).build(from_nothing=True)
    counts = Projection(redis, keys, settings).counting.total("line-1")
    assert counts.ok + counts.ng + counts.error == summary["inspected"] > 0
    assert (counts.flagged, counts.explained) == (summary["flagged"], summary["explained"])
    assert counts.part_ok + counts.part_ng + counts.part_not_inspected == summary["parts"] > 0


def test_the_model_in_production_gives_the_same_verdicts(store: FilesystemStore) -> None:
    promotion = last_promotion(store, "paint")
    assert promotion is not None
    model = load_model(read_bundle(store, "paint", promotion.version, promotion.digest), "openvino", 1, 4, "fp32")
    images = [model.prepare(painted(colour)) for colour in ("black", "blue", "green")]
    judgements = model.judge(model.run(np.stack(images)))
    assert [each.verdict for each in judgements] == [Verdict.OK, Verdict.NG, Verdict.NG]


def test_labels_datasets_and_people_are_there(store: FilesystemStore) -> None:
    with closing(AnnotationRepository(store)) as annotations:
        assert [each.frames for each in annotations.log("video-1").not_undone()] == [("7",)]
    version = newest_version(store, "paint")
    assert datasets(store) == ["paint"]
    assert version is not None
    assert get_image(store, version, "1.png", version.images[0].digest) == b"an image"
    assert len(PeopleRepository(store).directory().admins) == 1


def test_waiting_frames_are_delivered(state: Path) -> None:
    with state_for_one(state, fresh=False), closing(SqliteBroker(state / "broker")) as broker:
        with closing(broker.subscribe(INFERENCE_FRAMES, prefetch=10)) as frames:
            delivered = [decode(each.body) for each in frames.receive(10, 5)]
        assert [type(each) for each in delivered] == [FrameCaptured] * WAITING
    with Outbox(state / OUTBOX, "01JE0000000000000000000000", frames_limit=100, bytes_limit=10**9) as outbox:
        assert outbox.waiting == WAITING


def test_the_decisions_of_the_gateway_are_there(state: Path, summary: dict[str, Any]) -> None:
    with Journal(state / "gateway", timedelta(days=7)) as journal:
        assert sum(journal.totals("line-1").values()) == summary["parts"]
