"""Several people at the same frames: nobody overwrites anybody, and the second reading is blind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.dashboard.frames.marks import Marks
from services.dashboard.frames.repository import FrameIndex
from services.dashboard.labelling.annotations import log as ledger
from services.dashboard.labelling.annotations.annotation import Reading
from services.dashboard.labelling.annotations.log import Ledger
from services.dashboard.labelling.assembly import LabellingRoom
from services.dashboard.labelling.exports import building
from services.dashboard.labelling.exports.building import Building
from services.dashboard.labelling.schemas import DatasetOrder, LabelOrder, Queue, RecordView, UndoOrder
from services.dashboard.labelling.videos import repository as videos
from services.dashboard.labelling.videos.inspection import pack
from services.dashboard.labelling.videos.repository import Videos, plain_name
from services.dashboard.lines.register import LineRegister
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.storage import open_store
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.camera_videos import write_video
from tests.dashboards import embedded_settings
from tests.labelling import labels, record
from tests.verdicts import RECIPE

Say = Callable[..., RecordView]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[LabellingRoom]:
    settings = embedded_settings(tmp_path)
    redis, store, keys = open_redis(settings), open_store(settings), Keys("test")
    index = FrameIndex(redis, keys, settings)
    made = LabellingRoom(store, index, LineRegister(redis, keys), Marks(store, index), upload_bytes=10**6, transfers=1)
    yield made
    made.close()


@pytest.fixture
def source(room: LabellingRoom, tmp_path: Path) -> str:
    path = write_video(tmp_path / "seam.mp4", 8)
    return room.service.take_video(path, name="seam.mp4", recipe_yaml=RECIPE, by="ann").source


@pytest.fixture
def say(room: LabellingRoom, source: str) -> Say:
    def said(by: str, frame: int, *true: str, **order: object) -> RecordView:
        whole = LabelOrder.model_validate({"frames": [str(frame)], "labels": labels(*true), **order})
        return room.service.label(source, whole, by=by)

    return said


def storage_fails_at(ending: str, patch: pytest.MonkeyPatch) -> None:
    """Whatever is put under a key that ends so is not kept."""
    put = FilesystemStore.put

    def failing(self: FilesystemStore, key: str, content: bytes, content_type: str = "") -> None:
        if key.endswith(ending):
            raise StorageUnavailable("away")
        put(self, key, content, content_type)

    patch.setattr(FilesystemStore, "put", failing)


def refused(says: str) -> AbstractContextManager[object]:
    return pytest.raises(Problem, match=says)


def test_what_somebody_else_said_is_replaced_only_by_who_saw_it(room: LabellingRoom, source: str, say: Say) -> None:
    anns = say("ann", 1, "good")
    with refused("ann said good meanwhile"):
        say("bob", 1, "break")
    bobs = say("bob", 1, "good")
    with refused("bob said good meanwhile"):
        say("ann", 1, "break", seen={"1": anns.record})
    say("ann", 1, "break", seen={"1": bobs.record})
    with refused("ann said so"):
        room.service.undo(source, UndoOrder(record=anns.record), by="bob")
    with refused("nothing to take back"):
        room.service.undo(source, UndoOrder(), by="cleo")


def test_of_several_frames_all_are_labelled_or_none(room: LabellingRoom, source: str, say: Say) -> None:
    say("ann", 5, "good")
    with refused("frame 5: ann said good"):
        say("bob", 4, "break", frames=["4", "5"])
    with refused("frames 0 to 7"):
        say("bob", 4, "break", frames=["4", "8"])
    assert room.service.frame(source, "4", Reading.FIRST).said is None


def test_the_second_reading_is_blind_and_by_another_person(room: LabellingRoom, source: str, say: Say) -> None:
    for frame in range(6):
        say("ann", frame, "break" if frame % 2 else "good")
    assert room.service.queue(source, Queue.SECOND, by="ann").total == 0
    queue = room.service.queue(source, Queue.SECOND, by="bob")
    assert (queue.total, queue.reading) == (6, Reading.SECOND)
    assert "ann" not in queue.model_dump_json()
    assert '"first":null' in room.service.frame(source, "1", Reading.SECOND).model_dump_json()
    with refused("another person has to"):
        say("ann", 0, "good", reading="second")
    with refused("no first reading"):
        say("bob", 7, "good", reading="second")


def test_contradictions_are_in_no_table_until_they_are_settled(room: LabellingRoom, source: str, say: Say) -> None:
    for frame in range(6):
        say("ann", frame, "break" if frame % 2 else "good")
        say("bob", frame, "break" if frame == 1 else "good", reading="second")
    told = room.service.agreement(source)
    assert (told.read_twice, told.labels["break"].only_first) == (6, 2)
    assert told.labels["break"].kappa == pytest.approx(1 / 3)
    assert told.labels["length"].kappa is None
    assert sorted(each.frame for each in told.contradictions) == ["3", "5"]
    assert told.contradictions[0].differ == ["good", "break"]
    older = room.service.agreement(source, start=1, limit=1)
    assert (older.open, older.contradictions) == (2, told.contradictions[1:])
    assert [row.frame for row in room.exports.sheet(source).rows] == ["0", "1", "2", "4"]
    with refused("nothing to settle"):
        say("cleo", 7, "good", reading="settled")
    say("cleo", 3, "break", reading="settled")
    told = room.service.agreement(source)
    assert ([each.frame for each in told.contradictions], told.settled) == (["5"], 1)
    settled = room.exports.sheet(source).rows[3]
    assert (settled.frame, settled.record.by, settled.values) == ("3", "cleo", (False, False, True, False))


def test_who_gave_one_reading_does_not_give_the_other(room: LabellingRoom, source: str, say: Say) -> None:
    anns = say("ann", 1, "good")
    say("bob", 1, "break", reading="second")
    with refused("you gave the second reading"):
        say("bob", 1, "break", seen={"1": anns.record})
    assert [each.frame for each in room.service.agreement(source).contradictions] == ["1"]
    say("cleo", 1, "good", seen={"1": anns.record})
    with refused("you gave the first reading"):
        say("ann", 1, "good", reading="second")


def test_two_who_save_at_the_same_moment_do_not_overwrite_each_other(
    room: LabellingRoom, source: str, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FilesystemStore.put

    def meanwhile(self: FilesystemStore, key: str, content: bytes, content_type: str = "") -> None:
        with monkeypatch.context() as patch:
            patch.setattr(FilesystemStore, "put", put)
            say("bob", 2, "break")
            with refused("frame 1: ann labels it right now; look at it, and save again"):
                say("bob", 1, "break")
        put(self, key, content, content_type)

    monkeypatch.setattr(FilesystemStore, "put", meanwhile)
    say("ann", 1, "good")
    monkeypatch.undo()
    with refused("ann said good meanwhile"):
        say("bob", 1, "break")
    assert room.service.source(source).counts["break"] == 1


def test_who_changes_a_label_after_both_have_looked_settles_nothing_by_it(
    room: LabellingRoom, source: str, say: Say
) -> None:
    say("ann", 1, "good")
    say("bob", 1, "break", reading="second")
    say("ann", 1, "break")
    told = room.service.agreement(source)
    (open_,) = told.contradictions
    assert (open_.first.labels["good"], open_.second.by, [each.by for each in open_.later]) == (True, "bob", ["ann"])
    assert (told.labels["break"].only_second, told.settled) == (1, 0)
    shown = room.service.queue(source, Queue.CONTRADICTIONS, by="cleo").frames[0]
    assert shown.first is not None
    assert (shown.first.labels["good"], [each.labels["break"] for each in shown.later]) == (True, [True])
    assert room.exports.sheet(source).left_out == 1
    say("cleo", 1, "break", reading="settled")
    assert room.service.source(source).contradictions == 0


def test_what_is_said_last_holds_although_a_clock_was_set_back(
    room: LabellingRoom, source: str, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "FRESH_SECONDS", 0.0)
    Ledger(open_store(embedded_settings(tmp_path))).append(record("1", source=source, after=120))
    assert room.service.source(source).labelled == 1
    say("ann", 1, "break")
    said = room.service.frame(source, "1", Reading.FIRST).said
    assert said is not None
    assert said.labels == labels("break")
    room.service.undo(source, UndoOrder(), by="ann")
    said = room.service.frame(source, "1", Reading.FIRST).said
    assert said is not None
    assert said.labels == labels("good")


def test_images_of_one_name_are_never_one_in_a_dataset(
    room: LabellingRoom, source: str, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Videos, "_free", lambda _self, name: plain_name(name))  # as two dashboards would
    path = write_video(tmp_path / "other.mp4", 9)
    other = room.service.take_video(path, name="seam.mp4", recipe_yaml=RECIPE, by="ann").source
    say("ann", 1, "good")
    room.service.label(other, LabelOrder(frames=["1"], labels=labels("break")), by="ann")
    with refused("two of them have an image seam_000001.jpg"):
        room.datasets.make(DatasetOrder(name="both", sources=[source, other]))


def test_a_dataset_that_could_not_be_made_leaves_nothing_and_is_made_again_by_its_name(
    room: LabellingRoom, source: str, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for frame in range(4):
        say("ann", frame, "good")
    store, order = open_store(embedded_settings(tmp_path)), DatasetOrder(name="seams", sources=[source])

    for key in ("seam_000002.jpg", "groups.csv", "labels.csv"):
        with monkeypatch.context() as patch:
            storage_fails_at(key, patch)
            with pytest.raises(StorageUnavailable):
                room.datasets.make(order)
        assert list(store.keys("datasets/")) == []
    assert room.datasets.make(order).images == 4
    with refused("there is something below datasets/seams/ already"):
        room.datasets.make(order)


def test_a_name_is_free_again_when_the_process_that_built_there_is_gone(
    room: LabellingRoom, source: str, say: Say, tmp_path: Path
) -> None:
    say("ann", 1, "good")
    store, order = open_store(embedded_settings(tmp_path)), DatasetOrder(name="seams", sources=[source])
    store.put("datasets/seams/images/left.jpg", b"from before")
    said = Building(builder="another", at=datetime.now(UTC))
    store.put("datasets/seams/building.json", said.model_dump_json().encode())
    with refused("is being made right now"):
        room.datasets.make(order)
    said = Building(builder="another", at=datetime.now(UTC) - building.ABANDONED)
    store.put("datasets/seams/building.json", said.model_dump_json().encode())
    store.put("datasets/seams/versions/v1.json", b"brought in since by somebody else")
    with refused("there is something below datasets/seams/ already"):
        room.datasets.make(order)
    assert store.exists("datasets/seams/versions/v1.json")
    store.delete("datasets/seams/versions/v1.json")
    assert room.datasets.make(order).images == 1
    assert sorted(key.removeprefix("datasets/seams/") for key in store.keys("datasets/seams/")) == [
        "groups.csv",
        "images/seam_000001.jpg",
        "labelled.csv",
        "labels.csv",
    ]


def test_an_upload_that_fails_leaves_nothing_and_what_a_killed_one_left_is_swept_by_age(
    room: LabellingRoom, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(embedded_settings(tmp_path))
    whole = set(store.keys("labelling/videos/"))
    path = write_video(tmp_path / "other.mp4", 6)
    with monkeypatch.context() as patch:
        storage_fails_at("first", patch)
        with pytest.raises(StorageUnavailable):
            room.service.take_video(path, name="other.mp4", recipe_yaml=RECIPE, by="ann")
    assert set(store.keys("labelling/videos/")) == whole
    now = datetime.now(UTC)
    for age in (videos.ABANDONED + timedelta(hours=1), timedelta(hours=1)):
        store.put(f"labelling/videos/{ULID.from_datetime(now - age)}/part-0000", b"a part")
    assert videos.sweep(store, now) == 1
    assert len(set(store.keys("labelling/videos/")) - whole) == 1, "somebody may be uploading it"


def test_a_video_that_is_uploaded_twice_at_once_is_here_once(
    room: LabellingRoom, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, put, taken = write_video(tmp_path / "other.mp4", 6), FilesystemStore.put, list[str]()

    def take(recipe_yaml: str) -> None:
        taken.append(room.service.take_video(path, name="other.mp4", recipe_yaml=recipe_yaml, by="ann").name)

    def meanwhile(self: FilesystemStore, key: str, content: bytes, content_type: str = "") -> None:
        put(self, key, content, content_type)
        if key.endswith("times.json"):
            monkeypatch.setattr(FilesystemStore, "put", put)
            take(RECIPE)

    monkeypatch.setattr(FilesystemStore, "put", meanwhile)
    with refused("this video is here already, as 'other'"):
        take(RECIPE)
    take(f"{RECIPE}\n# otherwise")
    with refused("this video is here already, as 'other'"):
        take(RECIPE)
    assert taken == ["other", "other-2"]
    store = open_store(embedded_settings(tmp_path))
    assert len({key.split("/")[2] for key in store.keys("labelling/videos/")}) == 3, "of those refused, nothing is left"


def test_the_same_images_are_the_same_album_whenever_they_are_packed(tmp_path: Path) -> None:
    image = tmp_path / "1.jpg"
    image.write_bytes(b"an image")
    for count, age in enumerate((0, 86_400)):
        os.utime(image, (age + 1e9, age + 1e9))
        pack([("1.jpg", image)], tmp_path / f"{count}.zip")
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()


def test_no_more_transfers_run_at_once_than_there_are_places(room: LabellingRoom) -> None:
    with room.uploads.place(), pytest.raises(Problem, match="as many uploads as may") as refusal, room.uploads.place():
        pass
    assert (refusal.value.details.status, refusal.value.headers) == (503, {"Retry-After": "30"})
    with room.uploads.place(), room.downloads.place():
        """The one who had it has given it back, and those who take away have places of their own."""
