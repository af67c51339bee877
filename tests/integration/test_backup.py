"""A backup of a running system, restored into an empty one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from deploy.backup.__main__ import BackupSettings
from deploy.backup.copying import AUDIT, MAIN, Backup, BackupError
from services.dashboard.access.audit import Audit
from services.dashboard.assembly import build_rebuilder
from services.dashboard.ingest.archive import Archive, merge, segments
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from shared.contracts.bundle import read_bundle
from shared.contracts.dataset import (
    LabelledImage,
    datasets,
    get_image,
    newest_version,
    next_version,
    put_image,
    write_version,
)
from shared.contracts.promotion import last_promotion
from shared.environment import read_settings
from shared.storage.port import ObjectStore
from tests.conftest import Bucket
from tests.dashboards import embedded_settings
from tests.labelling import annotation
from tests.models import paint_bundle, promote
from tests.verdicts import Line, explanation_of


@pytest.fixture(params=["folder", "server"])
def systems(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the storages of a system, and of an empty one, as the command opens them."""

    def opened(name: str) -> Mapping[str, ObjectStore]:
        address = f"file:///{tmp_path}/{name}"
        if request.param == "server":
            bucket: Bucket = request.getfixturevalue("s3")
            monkeypatch.setenv("OBJECT_STORE_ROOT_USER", bucket.access_key)
            monkeypatch.setenv("OBJECT_STORE_ROOT_PASSWORD", bucket.secret_key)
            address = f"{bucket.url}-{name}"
        monkeypatch.setenv("OBJECT_STORE_URL", address)
        return read_settings(BackupSettings).open()

    return opened("line"), opened("empty")


def fill(stores: Mapping[str, ObjectStore]) -> None:
    """Verdicts, labels, a model in production, a dataset version and an entry of the audit log."""
    store, archive = stores[MAIN], Archive(stores[MAIN], seconds=0.01, messages=1)
    verdicts = list(Line(start=datetime.now(UTC) - timedelta(minutes=1)).verdicts(120))
    for start in range(0, 120, 30):
        some = verdicts[start : start + 30]
        archive.add([*some, *(explanation_of(each) for each in some if each.flagged)]).result(60)
    archive.close()
    promote(store, paint_bundle("v1"))
    annotations = AnnotationRepository(store)
    annotations.append(annotation("7"))
    annotations.close()
    images = [LabelledImage(name="1.png", digest=put_image(store, b"an image"), labels=(True,), group="g")]
    write_version(store, next_version(store, "seam", ("good",), images, by="eva", source="test")[0])
    Audit(stores.get(AUDIT, store)).record("model.promote", "paint/v1", "eva")


def content(stores: Mapping[str, ObjectStore]) -> dict[str, bytes]:
    return {f"{name} {key}": store.get(key) for name, store in stores.items() for key in store.keys("")}


def counted(store: ObjectStore, tmp_path: Path) -> tuple[object, list[str]]:
    """The counts and frames of a new dashboard."""
    settings: DashboardSettings = embedded_settings(tmp_path, redis_prefix=str(ULID()).lower(), segment_seconds=0.01)
    redis, keys = open_redis(settings), Keys(settings.redis_prefix)
    build_rebuilder(redis, keys, settings, store).build(from_nothing=True)
    projection = Projection(redis, keys, settings)
    return projection.counting.total("line-1"), [
        each.verdict.frame.frame_id for each in projection.frames.newest("line-1")
    ]


def test_a_restored_system_has_the_same_counts_models_labels_and_datasets(systems: Any, tmp_path: Path) -> None:
    line, empty = systems
    fill(line)
    backup = Backup(tmp_path / "backup")
    done = backup.save(line)
    assert (done.objects, done.unchanged) == (len(content(line)), 0)
    assert backup.check() == done.objects
    assert backup.restore(empty) == done.objects
    assert content(empty) == content(line)
    assert counted(empty[MAIN], tmp_path) == counted(line[MAIN], tmp_path)
    assert len(counted(empty[MAIN], tmp_path)[1]) == 120
    promotion = last_promotion(empty[MAIN], "paint")
    assert promotion is not None
    assert read_bundle(empty[MAIN], "paint", promotion.version, promotion.digest).files.keys() >= {"recipe.yaml"}
    version = newest_version(empty[MAIN], "seam")
    assert datasets(empty[MAIN]) == ["seam"]
    assert version is not None
    assert get_image(empty[MAIN], version, "1.png", version.images[0].digest) == b"an image"


def test_a_backup_while_the_line_runs_lacks_nothing_that_was_there_when_it_began(systems: Any, tmp_path: Path) -> None:
    line, empty = systems
    fill(line)
    store, stop = line[MAIN], threading.Event()
    wanted = counted(store, tmp_path)

    def run_on() -> None:
        """Write segments, merge others, and make models and dataset versions meanwhile."""
        archive, number = Archive(store, seconds=0.001, messages=1), 1
        while not stop.is_set():
            number += 1
            archive.add([Line("line-2").verdict()]).result(60)
            if len(old := segments(store)) > 3:
                merge(store, old[:3], f"verdicts/2026-01-01/00-{ULID()}.jsonl.gz")
            promote(store, paint_bundle(f"v{number}"))
            images = [LabelledImage(name="1.png", digest=put_image(store, b"%d" % number), labels=(True,), group="g")]
            write_version(store, next_version(store, "seam", ("good",), images, by="eva", source="test")[0])
        archive.close()

    writer = threading.Thread(target=run_on)
    writer.start()
    backup = Backup(tmp_path / "backup")
    backup.save(line)
    stop.set()
    writer.join()
    backup.restore(empty)
    assert counted(empty[MAIN], tmp_path) == wanted
    promotion = last_promotion(empty[MAIN], "paint")
    assert promotion is not None
    read_bundle(empty[MAIN], "paint", promotion.version, promotion.digest)
    version = newest_version(empty[MAIN], "seam")
    assert version is not None
    get_image(empty[MAIN], version, "1.png", version.images[0].digest)


def test_a_second_backup_copies_what_is_new_and_drops_what_is_gone(systems: Any, tmp_path: Path) -> None:
    line, empty = systems
    fill(line)
    backup = Backup(tmp_path / "backup")
    first = backup.save(line)
    gone = segments(line[MAIN])[0]
    line[MAIN].delete(gone)
    line[MAIN].put("marks/line-1/2026-01-31/1.json", b"{}")
    second = backup.save(line)
    assert (second.objects, second.unchanged) == (first.objects, first.objects - 1)
    assert not (tmp_path / "backup" / MAIN / gone).exists()
    backup.restore(empty)
    assert content(empty) == content(line)


def test_a_damaged_backup_and_a_full_storage_are_refused(systems: Any, tmp_path: Path) -> None:
    line, empty = systems
    fill(line)
    backup = Backup(tmp_path / "backup")
    with pytest.raises(BackupError, match=r"no complete backup: there is no manifest\.jsonl"):
        backup.restore(empty)
    backup.save(line)
    with pytest.raises(BackupError, match="is not empty: it has"):
        backup.restore(line)
    key = segments(line[MAIN])[0]
    (tmp_path / "backup" / MAIN / key).write_bytes(b"another")
    for use in (backup.check, partial(backup.restore, empty)):
        with pytest.raises(BackupError, match=f"{key} has changed since the backup was made"):
            use()
    (tmp_path / "backup" / MAIN / key).unlink()
    with pytest.raises(BackupError, match=f"the backup lacks {MAIN}/{key}"):
        backup.check()
