"""Labelling by the API: uploads, annotations, queues, and exports."""

from __future__ import annotations

import io
import json
import socket
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from statistics import median
from urllib.parse import unquote

import httpx
import pytest

from services.dashboard.labelling.videos import transfers
from services.dashboard.settings import DashboardSettings
from shared.contracts.dataset import get_image, read_version
from shared.datasets.reading import read_dataset
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import put_images
from tests.camera_videos import write_video
from tests.dashboards import embedded_settings, inspected, problem, publish, put_model, server_settings, soon
from tests.labelling import jpeg, labels, number_in, upload
from tests.other_tools import coco
from tests.verdicts import RECIPE, Line, findings

LABELLED = "name,good,error,break,length"


@pytest.fixture(params=["embedded"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    """Most tests run embedded only, because servers make no difference to them."""
    if request.param == "servers":
        return server_settings(tmp_path, *(request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3")))
    return embedded_settings(tmp_path, upload_megabytes=1, transfers=1)


def label(client: httpx.Client, source: str, frame: str, *true: str, **fields: object) -> httpx.Response:
    body = {"frames": [frame], "labels": labels(*true), **fields}
    return client.post(f"/api/labelling/sources/{source}/labels", json=body)


def median_milliseconds(act: Callable[[], httpx.Response], times: int = 15) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        assert act().is_success
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


@pytest.mark.parametrize("settings", ["embedded", "servers"], indirect=True)
def test_a_video_is_labelled_exported_and_made_a_dataset(
    client: httpx.Client, store: ObjectStore, tmp_path: Path
) -> None:
    uploaded = upload(client, write_video(tmp_path / "Seam 1.mp4", 30))
    assert uploaded.status_code == 201
    source = uploaded.json()["source"]
    assert (uploaded.json()["name"], uploaded.json()["frames"]) == ("Seam-1", 30)
    problem(upload(client, tmp_path / "Seam 1.mp4"), 409, "uploaded already, as 'Seam-1'")
    image = client.get(f"/api/labelling/sources/{source}/frames/17/image")
    assert (image.headers["content-type"], number_in(image.content)) == ("image/jpeg", 17)
    problem(client.get(f"/api/labelling/sources/{source}/frames/30/image"), 404, "frames 0 to 29")

    assert label(client, source, "2", "good").status_code == 201
    assert label(client, source, "10", frames=["10", "11"], labels=labels("break", "length")).status_code == 201
    problem(label(client, source, "3", "good", "break"), 422, "good together with break")
    assert label(client, source, "3", "error").status_code == 201
    undone = client.post(f"/api/labelling/sources/{source}/undo", json={})
    assert undone.json()["frames"] == ["3"]

    table = client.get(f"/api/labelling/sources/{source}/table.csv")
    assert table.headers["content-disposition"] == 'attachment; filename="Seam-1_data.csv"'
    assert table.text.splitlines() == [
        LABELLED,
        "Seam-1_000002.jpg,True,False,False,False",
        "Seam-1_000010.jpg,False,False,True,True",
        "Seam-1_000011.jpg,False,False,True,True",
    ]
    archive = client.get(f"/api/labelling/sources/{source}/archive.zip")
    zipfile.ZipFile(io.BytesIO(archive.content)).extractall(tmp_path / "unpacked")
    unpacked = read_dataset(tmp_path / "unpacked", ("good", "error", "break", "length"))
    assert [(each.labels, each.group, each.labelled_by) for each in unpacked.examples] == [
        ((True, False, False, False), "Seam-1", "local"),
        ((False, False, True, True), "Seam-1", "local"),
        ((False, False, True, True), "Seam-1", "local"),
    ]
    assert number_in(unpacked.examples[1].image.read_bytes()) == 10

    made = client.post("/api/labelling/datasets", json={"name": "seams", "sources": [source]})
    name, _, number = made.json()["dataset"].partition("@")
    assert (name, made.json()["images"], made.json()["labels"]["break"]) == ("seams", 3, 2)
    version = read_version(store, name, number)
    assert (version.made_by, version.source, version.label_names) == ("local", "Seam-1", tuple(labels()))
    assert [(each.labels[2], each.group, each.labelled_by) for each in version.images] == [
        (False, "Seam-1", "local"),
        (True, "Seam-1", "local"),
        (True, "Seam-1", "local"),
    ]
    listed = version.images[1]
    assert number_in(get_image(store, version, listed.name, listed.digest)) == 10
    assert client.get("/api/datasets/seams").json()["versions"][0]["reference"] == made.json()["dataset"]


def zip_of(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(path, path.relative_to(folder))
    return content.getvalue()


def import_zip(client: httpx.Client, content: bytes, language: str = "en", **fields: str) -> httpx.Response:
    files = {"files": ("Äpfel.zip", content, "application/zip")}
    headers = {"Accept-Language": language}
    return client.post("/api/labelling/datasets/import", files=files, data=fields, headers=headers, timeout=120)


def test_a_zip_of_labelled_images_becomes_a_dataset_version(
    client: httpx.Client, store: ObjectStore, tmp_path: Path
) -> None:
    coco(tmp_path / "set")
    refused = import_zip(client, zip_of(tmp_path / "set"), name="parts")
    problem(refused, 422, "annotations.json, image 4: 3.png is not there: put it into Äpfel.zip, or remove the row")
    assert client.get("/api/datasets").json()["datasets"] == []
    made = import_zip(client, zip_of(tmp_path / "set"), name="parts", skip_problems="true").json()
    assert (made["images"], made["labels"], made["masks"], made["is_new"]) == (
        3,
        {"Kratzer tief": 2, "dent": 1},
        2,
        True,
    )
    assert made["left_out"] == [
        next(each for each in made["left_out"] if each.startswith("annotations.json, image 4: 3.png is not there"))
    ]
    assert any(note.startswith("COCO (annotations.json): 4 images, 2 labels, 2 boxes") for note in made["notes"])
    name, _, number = made["dataset"].partition("@")
    version = read_version(store, name, number)
    assert (version.made_by, version.source) == ("local", "Äpfel.zip")
    listed = version.images[0]
    assert get_image(store, version, listed.name, listed.digest) == (tmp_path / "set" / "0.png").read_bytes()
    (mask,) = listed.masks.items()
    assert get_image(store, version, *mask).startswith(b"\x89PNG")
    again = import_zip(client, zip_of(tmp_path / "set"), "de", name="parts", skip_problems="true").json()
    assert (again["is_new"], again["dataset"]) == (False, made["dataset"])
    assert again["left_out"] == [
        "annotations.json, Bild 4: 3.png ist nicht vorhanden: in Äpfel.zip ablegen oder die Zeile entfernen"
    ]
    (balance,) = (note for note in again["notes"] if note.startswith("COCO"))
    assert "4 Bilder, 2 Merkmale, 2 Rechtecke" in balance
    assert "Bilder, deren Datei fehlt: 1" in balance
    assert [note for note in again["notes"] if " image" in note] == []
    broken = import_zip(client, b"PK\x03\x04 broken", "de")
    problem(broken, 422, "Äpfel.zip: ist nicht entpackbar (File is not a zip file): ohne Passwort neu packen")
    problem(import_zip(client, zip_of(tmp_path / "set"), task="both"), 422, "task")


def test_annotations_are_listed_and_second_ones_need_another_person(client: httpx.Client, tmp_path: Path) -> None:
    source = upload(client, write_video(tmp_path / "seam.avi", 5, codec="MJPG")).json()["source"]
    first, second = (label(client, source, frame, "good").json()["id"] for frame in ("1", "2"))
    page = client.get("/api/labelling/annotations", params={"limit": 1, "source": source}).json()
    assert ([each["id"] for each in page["annotations"]], page["next"]) == ([second], second)
    older = client.get(
        "/api/labelling/annotations", params={"before": page["next"], "by": "local", "label": "good"}
    ).json()
    assert ([each["frames"] for each in older["annotations"]], older["next"]) == ([["1"]], None)
    assert client.get("/api/labelling/annotations", params={"label": "break"}).json()["annotations"] == []
    problem(label(client, source, "1", "good", kind="second"), 409, "another person must")
    queue = client.get(f"/api/labelling/sources/{source}/queue", params={"queue": "second"}).json()
    assert (queue["total"], queue["kind"]) == (0, "second")
    assert client.get(f"/api/labelling/sources/{source}/agreement").json()["labels"]["good"]["kappa"] is None
    assert median_milliseconds(lambda: label(client, source, "3", "good")) < 1000
    undo = client.post(f"/api/labelling/sources/{source}/undo", json={"annotation": first})
    assert undo.json()["undoes"] == first
    problem(client.post(f"/api/labelling/sources/{source}/undo", json={"annotation": first}), 404, "undone already")


def test_frames_of_a_line_are_in_queues_until_they_are_labelled(
    client: httpx.Client, store: ObjectStore, broker: Broker
) -> None:
    put_model(store)
    line = Line()
    marked, unsure, sure = line.verdict("break"), line.verdict("error", after=60), line.verdict("break", after=120)
    doubt = {
        **findings("error"),
        "break": findings("break")["break"].model_copy(update={"score": 0.48, "present": False}),
    }
    unsure = unsure.model_copy(update={"findings": doubt})
    for verdict in (marked, unsure, sure):
        put_images(store, verdict)
    publish(broker, marked, unsure, sure)
    soon(lambda: inspected(client) == 3)
    client.put(f"/api/frames/{marked.frame.frame_id}/mark", json={"note": "a shadow"})

    def queue(name: str) -> list[str]:
        answer = client.get("/api/labelling/sources/line-seam/queue", params={"queue": name})
        return [frame["frame"] for frame in answer.json()["frames"]]

    assert queue("marked") == [marked.frame.frame_id]
    assert client.get("/api/labelling/sources/line-seam/queue?queue=marked&line=line-2").json()["total"] == 0
    other = client.get("/labelling/line-seam?queue=marked&line=line-2", headers={"Accept": "text/html"}).text
    assert "This queue is empty" in other
    assert queue("uncertain")[0] == unsure.frame.frame_id
    problem(client.get("/api/labelling/sources/line-seam/queue?queue=all"), 422, "this source has marked")
    problem(client.get("/api/labelling/sources/line-hem"), 404, "GET /api/labelling/sources")
    problem(
        label(client, "line-seam", "01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000009", "good"), 404, "no such frame of this recipe"
    )
    assert label(client, "line-seam", marked.frame.frame_id, "good", "length").status_code == 201
    assert label(client, "line-seam", unsure.frame.frame_id, "error", "length").status_code == 201
    assert queue("marked") == []
    assert queue("uncertain") == [sure.frame.frame_id]
    assert queue("disagreement") == [marked.frame.frame_id]
    image = client.get(f"/api/labelling/sources/line-seam/frames/{marked.frame.frame_id}/image?width=40")
    assert image.headers["content-type"] == "image/jpeg"
    rows = client.get("/api/labelling/sources/line-seam/table.csv").text.splitlines()
    assert rows[1] == f"{marked.frame.frame_id}.jpg,True,False,False,True"
    counts = client.get("/api/labelling/sources").json()["sources"][0]
    assert (counts["source"], counts["labelled"], counts["counts"]["good"]) == ("line-seam", 2, 1)


def test_an_upload_that_can_not_be_labelled_is_refused_with_advice(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"no video")
    problem(upload(client, tmp_path / "video.mp4"), 422, "video.mp4: neither a video")
    video = write_video(tmp_path / "seam.mp4", 5)
    problem(upload(client, video, recipe_yaml="name: x"), 422, "recipe, line 1")
    problem(upload(client, video, recipe_yaml="", recipe="hem"), 422, "there is no recipe 'hem'")
    problem(upload(client, video, recipe_yaml=""), 422, "choose the recipe by which")
    problem(client.post("/api/labelling/videos", data={"recipe_yaml": RECIPE}), 422, "choose a video")
    (tmp_path / "large.mp4").write_bytes(bytes(1_100_000))
    problem(upload(client, tmp_path / "large.mp4"), 413, "DASHBOARD_UPLOAD_MEGABYTES")
    assert client.get("/api/labelling/sources").json() == {"sources": [], "next": None}


def test_the_name_of_an_uploaded_file_is_never_a_path(client: httpx.Client) -> None:
    for name in ("a.j%00pg", "..%2F..%2Fa.jpg", "a.jpg%0A"):
        part = f'form-data; name="files"; filename="{unquote(name)}"'.encode()
        content = b"--b\r\nContent-Disposition: " + part + b"\r\n\r\nno image\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post("/api/labelling/videos", content=content, headers=headers)
        assert answer.status_code in (400, 422), answer.text


def test_several_images_are_an_album(client: httpx.Client, store: ObjectStore) -> None:
    files = [("files", (f"{number}.jpg", jpeg(number))) for number in (11, 2, 3)]
    answer = client.post("/api/labelling/videos", files=files, data={"recipe_yaml": RECIPE, "name": "album"})
    source = answer.json()["source"]
    shown = [client.get(f"/api/labelling/sources/{source}/frames/{frame}/image") for frame in range(3)]
    assert [number_in(each.content) for each in shown] == [2, 3, 11]
    label(client, source, "2", "good")
    assert "album_000002_11.jpg,True" in client.get(f"/api/labelling/sources/{source}/table.csv").text
    (key,) = (key for key in store.keys("audit/") if b"video.upload" in store.get(key))
    assert json.loads(store.get(key))["subject"] == "album"


def test_an_upload_beyond_the_limit_is_refused_with_the_time_to_try_again(
    client: httpx.Client, settings: DashboardSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "STALLED_SECONDS", 5.0)
    head = b"POST /api/labelling/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
    with ExitStack() as stack:
        halves = [stack.enter_context(socket.create_connection(("127.0.0.1", settings.port))) for _ in range(2)]
        for half in halves:
            half.settimeout(60)
            half.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        stalled, refused = sorted(map(answered, halves), key=lambda answer: answer.status_code)
    problem(stalled, 408, "nothing arrived for 5 s")
    problem(refused, 503, "the limit of 1 for uploads at the same time is reached: try again in 30 s")
    assert refused.headers["retry-after"] == "30"
    for name in ("seam.mp4", "other.mp4"):
        assert upload(client, write_video(tmp_path / name, len(name))).status_code == 201, "the slot is free again"


def answered(connection: socket.socket) -> httpx.Response:
    response = HTTPResponse(connection)
    response.begin()
    return httpx.Response(response.status, headers=response.getheaders(), content=response.read())
