"""Several people label the same frames: no label is overwritten unseen, and second annotations are independent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.dashboard.frames.marks import Marks
from services.dashboard.frames.repository import FrameRepository
from services.dashboard.labelling.annotations import repository as repository_module
from services.dashboard.labelling.annotations.annotation import AnnotationKind
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.assembly import LabellingServices
from services.dashboard.labelling.schemas import AnnotationView, DatasetRequest, FrameQueue, LabelRequest, UndoRequest
from services.dashboard.labelling.videos import cleanup
from services.dashboard.labelling.videos.cleanup import delete_incomplete_uploads
from services.dashboard.labelling.videos.repository import VideoRepository, plain_name
from services.dashboard.labelling.videos.scan import pack_album
from services.dashboard.lines.repository import LineRepository
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import image_key, newest_version, versions
from shared.datasets.good_only import good_only_recipe, recipe_with_anomaly
from shared.recipe import Recipe, parse_recipe
from shared.storage.filesystem import FilesystemStore
from shared.storage.opening import open_store
from shared.storage.port import StorageUnavailable
from tests.camera_videos import write_video
from tests.dashboards import embedded_settings
from tests.labelling import annotation, labels
from tests.verdicts import RECIPE

LabelFrame = Callable[..., AnnotationView]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[LabellingServices]:
    settings = embedded_settings(tmp_path)
    redis, store, keys = open_redis(settings), open_store(settings), Keys("test")
    index = FrameRepository(redis, keys, settings)
    made = LabellingServices(
        store, index, LineRepository(redis, keys), Marks(store, index), upload_bytes=10**6, transfers=1
    )
    yield made
    made.close()


@pytest.fixture
def source(services: LabellingServices, tmp_path: Path) -> str:
    path = write_video(tmp_path / "seam.mp4", 8)
    return services.labelling.add_video(path, name="seam.mp4", recipe_yaml=RECIPE, by="ann").source


@pytest.fixture
def label(services: LabellingServices, source: str) -> LabelFrame:
    def label_frame(by: str, frame: int, *true: str, **fields: object) -> AnnotationView:
        request = LabelRequest.model_validate({"frames": [str(frame)], "labels": labels(*true), **fields})
        return services.labelling.label(source, request, by=by)

    return label_frame


def storage_fails_at(ending: str, patch: pytest.MonkeyPatch) -> None:
    """Let the storing of every object fail whose key has this ending."""
    for method in ("put", "create"):
        whole = getattr(FilesystemStore, method)

        def failing(self: FilesystemStore, key: str, *content: object, store: Callable[..., object] = whole) -> object:
            if key.endswith(ending):
                raise StorageUnavailable("away")
            return store(self, key, *content)

        patch.setattr(FilesystemStore, method, failing)


def refused(text: str) -> AbstractContextManager[object]:
    return pytest.raises(Problem, match=text)


@pytest.mark.parametrize("changed", [good_only_recipe, recipe_with_anomaly])
def test_frames_get_the_labels_that_people_give(
    services: LabellingServices, tmp_path: Path, changed: Callable[[Recipe], Recipe]
) -> None:
    recipe = parse_recipe(RECIPE)
    video = write_video(tmp_path / "seam.mp4", 8)
    text = changed(recipe).to_yaml()
    added = services.labelling.add_video(video, name="seam.mp4", recipe_yaml=text, by="ann")
    assert tuple(label.name for label in added.labels) == recipe.label_names


def test_another_persons_labels_are_replaced_only_if_they_were_seen(
    services: LabellingServices, source: str, label: LabelFrame
) -> None:
    anns = label("ann", 1, "good")
    with refused("ann saved good meanwhile"):
        label("bob", 1, "break")
    bobs = label("bob", 1, "good")
    with refused("bob saved good meanwhile"):
        label("ann", 1, "break", seen={"1": anns.id})
    label("ann", 1, "break", seen={"1": bobs.id})
    with refused("this is an annotation of ann"):
        services.labelling.undo(source, UndoRequest(annotation=anns.id), by="bob")
    with refused("nothing to undo"):
        services.labelling.undo(source, UndoRequest(), by="cleo")


def test_either_all_of_several_frames_are_labelled_or_none(
    services: LabellingServices, source: str, label: LabelFrame
) -> None:
    label("ann", 5, "good")
    with refused("frame 5: ann saved good"):
        label("bob", 4, "break", frames=["4", "5"])
    with refused("frames 0 to 7"):
        label("bob", 4, "break", frames=["4", "8"])
    assert services.labelling.frame(source, "4", AnnotationKind.FIRST).annotation is None


def test_a_second_annotation_is_by_another_person_and_hides_the_first(
    services: LabellingServices, source: str, label: LabelFrame
) -> None:
    for frame in range(6):
        label("ann", frame, "break" if frame % 2 else "good")
    assert services.labelling.queue(source, FrameQueue.SECOND, by="ann").total == 0
    queue = services.labelling.queue(source, FrameQueue.SECOND, by="bob")
    assert (queue.total, queue.kind) == (6, AnnotationKind.SECOND)
    assert '"ann"' not in queue.model_dump_json()
    assert '"first":null' in services.labelling.frame(source, "1", AnnotationKind.SECOND).model_dump_json()
    with refused("another person must"):
        label("ann", 0, "good", kind="second")
    with refused("no first annotation"):
        label("bob", 7, "good", kind="second")


def test_contradictions_are_in_no_table_until_an_adjudication(
    services: LabellingServices, source: str, label: LabelFrame
) -> None:
    for frame in range(6):
        label("ann", frame, "break" if frame % 2 else "good")
        label("bob", frame, "break" if frame == 1 else "good", kind="second")
    agreement = services.labelling.agreement(source)
    assert (agreement.annotated_twice, agreement.labels["break"].only_first) == (6, 2)
    assert agreement.labels["break"].kappa == pytest.approx(1 / 3)
    assert agreement.labels["length"].kappa is None
    assert sorted(each.frame for each in agreement.contradictions) == ["3", "5"]
    assert agreement.contradictions[0].differ == ["good", "break"]
    older = services.labelling.agreement(source, start=1, limit=1)
    assert (older.open, older.contradictions) == (2, agreement.contradictions[1:])
    assert [frame.key for frame in services.exports.labelled(source).frames] == ["0", "1", "2", "4"]
    with refused("nothing to adjudicate"):
        label("cleo", 7, "good", kind="adjudication")
    label("cleo", 3, "break", kind="adjudication")
    agreement = services.labelling.agreement(source)
    assert ([each.frame for each in agreement.contradictions], agreement.adjudicated) == (["5"], 1)
    adjudicated = services.exports.labelled(source).frames[3]
    assert (adjudicated.key, adjudicated.annotation.by, adjudicated.labels) == (
        "3",
        "cleo",
        (False, False, True, False),
    )


def test_one_person_does_not_give_both_annotations(services: LabellingServices, source: str, label: LabelFrame) -> None:
    anns = label("ann", 1, "good")
    label("bob", 1, "break", kind="second")
    with refused("you gave the second annotation"):
        label("bob", 1, "break", seen={"1": anns.id})
    assert [each.frame for each in services.labelling.agreement(source).contradictions] == ["1"]
    label("cleo", 1, "good", seen={"1": anns.id})
    with refused("you gave the first annotation"):
        label("ann", 1, "good", kind="second")


def test_two_annotations_at_the_same_moment_do_not_overwrite_each_other(
    services: LabellingServices, source: str, label: LabelFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FilesystemStore.put

    def meanwhile(self: FilesystemStore, key: str, content: bytes, content_type: str = "") -> None:
        with monkeypatch.context() as patch:
            patch.setattr(FilesystemStore, "put", put)
            label("bob", 2, "break")
            with refused("frame 1: ann is labelling it now; look at it, and save again"):
                label("bob", 1, "break")
        put(self, key, content, content_type)

    monkeypatch.setattr(FilesystemStore, "put", meanwhile)
    label("ann", 1, "good")
    monkeypatch.undo()
    with refused("ann saved good meanwhile"):
        label("bob", 1, "break")
    assert services.labelling.source(source).counts["break"] == 1


def test_a_label_that_is_changed_after_both_have_looked_does_not_adjudicate(
    services: LabellingServices, source: str, label: LabelFrame
) -> None:
    label("ann", 1, "good")
    label("bob", 1, "break", kind="second")
    label("ann", 1, "break")
    agreement = services.labelling.agreement(source)
    (open_,) = agreement.contradictions
    assert (open_.first.labels["good"], open_.second.by, [each.by for each in open_.later]) == (True, "bob", ["ann"])
    assert (agreement.labels["break"].only_second, agreement.adjudicated) == (1, 0)
    shown = services.labelling.queue(source, FrameQueue.CONTRADICTIONS, by="cleo").frames[0]
    assert shown.first is not None
    assert (shown.first.labels["good"], [each.labels["break"] for each in shown.later]) == (True, [True])
    assert services.exports.labelled(source).contradictions == 1
    label("cleo", 1, "break", kind="adjudication")
    assert services.labelling.source(source).contradictions == 0


def test_the_last_annotation_counts_although_a_clock_was_set_back(
    services: LabellingServices, source: str, label: LabelFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    AnnotationRepository(open_store(embedded_settings(tmp_path))).append(annotation("1", source=source, after=120))
    assert services.labelling.source(source).labelled == 1
    label("ann", 1, "break")
    found = services.labelling.frame(source, "1", AnnotationKind.FIRST).annotation
    assert found is not None
    assert found.labels == labels("break")
    services.labelling.undo(source, UndoRequest(), by="ann")
    found = services.labelling.frame(source, "1", AnnotationKind.FIRST).annotation
    assert found is not None
    assert found.labels == labels("good")


def test_two_images_of_one_name_are_refused_in_a_dataset(
    services: LabellingServices, source: str, label: LabelFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoRepository, "_free_name", lambda _self, name: plain_name(name))  # as two dashboards would
    path = write_video(tmp_path / "other.mp4", 9)
    other = services.labelling.add_video(path, name="seam.mp4", recipe_yaml=RECIPE, by="ann").source
    label("ann", 1, "good")
    services.labelling.label(other, LabelRequest(frames=["1"], labels=labels("break")), by="ann")
    with refused("two of them have an image seam_000001.jpg"):
        services.exports.make_dataset(DatasetRequest(name="both", sources=[source, other]), by="ann")


def test_a_dataset_that_could_not_be_made_has_no_version_and_is_made_again_by_its_name(
    services: LabellingServices, source: str, label: LabelFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for frame in range(4):
        label("ann", frame, "good")
    store, request = open_store(embedded_settings(tmp_path)), DatasetRequest(name="seams", sources=[source])
    image = services.labelling.image(source, "2")
    for ending in (image_key(hashlib.sha256(image).hexdigest()), ".json"):
        with monkeypatch.context() as patch:
            storage_fails_at(ending, patch)
            with pytest.raises(StorageUnavailable):
                services.exports.make_dataset(request, by="ann")
        assert versions(store, "seams") == []
    assert services.exports.make_dataset(request, by="ann").images == 4


def test_a_dataset_gets_a_further_version_when_more_is_labelled_and_each_image_is_stored_once(
    services: LabellingServices, source: str, label: LabelFrame, tmp_path: Path
) -> None:
    store = open_store(embedded_settings(tmp_path))
    seams, others = (DatasetRequest(name=name, sources=[source]) for name in ("seams", "others"))
    label("ann", 1, "good")
    first = services.exports.make_dataset(seams, by="ann")
    assert services.exports.make_dataset(seams, by="bob").dataset == first.dataset, "nothing has changed"
    label("bob", 2, "break")
    second = services.exports.make_dataset(seams, by="bob")
    services.exports.make_dataset(others, by="bob")
    assert [len(versions(store, name)) for name in ("seams", "others")] == [2, 1]
    assert (first.images, second.images, second.labels["break"]) == (1, 2, 1)
    newest = newest_version(store, "seams")
    assert newest is not None
    assert (newest.reference, newest.made_by, newest.source) == (second.dataset, "bob", "seam")
    assert [(each.name, each.labelled_by, each.group) for each in newest.images] == [
        ("seam_000001.jpg", "ann", "seam"),
        ("seam_000002.jpg", "bob", "seam"),
    ]
    assert len(list(store.keys("datasets/images/"))) == 2


def test_a_failed_upload_leaves_nothing_and_the_parts_of_a_killed_one_are_deleted_by_age(
    services: LabellingServices, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(embedded_settings(tmp_path))
    whole = set(store.keys("labelling/videos/"))
    path = write_video(tmp_path / "other.mp4", 6)
    with monkeypatch.context() as patch:
        storage_fails_at("first", patch)
        with pytest.raises(StorageUnavailable):
            services.labelling.add_video(path, name="other.mp4", recipe_yaml=RECIPE, by="ann")
    assert set(store.keys("labelling/videos/")) == whole
    now = datetime.now(UTC)
    for age in (cleanup.ABANDONED + timedelta(hours=1), timedelta(hours=1)):
        store.put(f"labelling/videos/{ULID.from_datetime(now - age)}/part-0000", b"a part")
    assert delete_incomplete_uploads(store, now) == 1
    assert len(set(store.keys("labelling/videos/")) - whole) == 1, "a person may be uploading it"


def test_a_video_that_is_uploaded_twice_at_once_is_stored_once(
    services: LabellingServices, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, put, taken = write_video(tmp_path / "other.mp4", 6), FilesystemStore.put, list[str]()

    def take(recipe_yaml: str) -> None:
        taken.append(services.labelling.add_video(path, name="other.mp4", recipe_yaml=recipe_yaml, by="ann").name)

    def meanwhile(self: FilesystemStore, key: str, content: bytes, content_type: str = "") -> None:
        put(self, key, content, content_type)
        if key.endswith("times.json"):
            monkeypatch.setattr(FilesystemStore, "put", put)
            take(RECIPE)

    monkeypatch.setattr(FilesystemStore, "put", meanwhile)
    with refused("this video was uploaded already, as 'other'"):
        take(RECIPE)
    take(f"{RECIPE}\n# otherwise")
    with refused("this video was uploaded already, as 'other'"):
        take(RECIPE)
    assert taken == ["other", "other-2"]
    store = open_store(embedded_settings(tmp_path))
    assert len({key.split("/")[2] for key in store.keys("labelling/videos/")}) == 3, "a refused upload leaves nothing"


def test_the_same_images_are_the_same_album_whenever_they_are_packed(tmp_path: Path) -> None:
    image = tmp_path / "1.jpg"
    image.write_bytes(b"an image")
    for count, age in enumerate((0, 86_400)):
        os.utime(image, (age + 1e9, age + 1e9))
        pack_album([("1.jpg", image)], tmp_path / f"{count}.zip")
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
