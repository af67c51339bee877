"""What an error of the camera advises helps: each advice is followed, and the camera reads an image."""

from __future__ import annotations

import base64
import os
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.captured_image import CapturedImage
from services.camera.sources.opening import open_source
from shared.health import Health
from tests.camera_videos import write_images, write_video
from tests.web_cameras import WebCamera, multipart

PASSWORD = "a/b#c?d[e]@f%"
ENCODED = "a%2Fb%23c%3Fd%5Be%5D%40f%25"
"""As the advice says."""


def start(settings: CameraSettings) -> None:
    """Start as the service does, and read an image."""
    with Outbox.of(settings, str(ULID())), closing(open_source(settings, lambda *_: None)) as source:
        SightWatch(settings, lambda *_: None)
        images = source.images(Heartbeat(threading.Event(), Health()))
        assert isinstance(next(images), CapturedImage)


def guarded(handler: BaseHTTPRequestHandler) -> None:
    """Answer as a camera with a password at one path, and a page at others."""
    wanted = f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"
    if handler.headers.get("Authorization") != wanted:
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
        handler.end_headers()
    elif handler.path == "/":
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        handler.wfile.write(b"<html>Welcome</html>")
    elif handler.path == "/video":
        multipart()(handler)
    else:
        handler.send_error(404)


@pytest.fixture(scope="module")
def web() -> Iterator[WebCamera]:
    with WebCamera(guarded) as camera:
        yield camera


@dataclass
class Place:
    """Where a case happens."""

    folder: Path
    web: WebCamera

    def settings(self, **chosen: Any) -> dict[str, Any]:
        return {"source": str(self.folder / "images"), "outbox_folder": self.folder / "outbox", **chosen}

    def images(self, below: str = "") -> Path:
        folder = self.folder / "images" / below
        folder.mkdir(parents=True, exist_ok=True)
        write_images(folder, ["1.png"])
        return folder

    @property
    def outbox(self) -> Path:
        return next((self.folder / "outbox").glob("*.sqlite"))


@dataclass(frozen=True)
class Case:
    fault: Callable[[Place], dict[str, Any]]
    """Make the fault, and return the settings."""
    error: str
    advice: Callable[[Place], dict[str, Any]]
    """Do what the error says, and return the settings."""


def nothing(place: Place) -> dict[str, Any]:
    return place.settings()


def with_images(place: Place) -> dict[str, Any]:
    place.images()
    return place.settings()


def with_images_below(place: Place) -> dict[str, Any]:
    place.images("cam-1")
    return place.settings()


def used_before(place: Place) -> dict[str, Any]:
    """Return settings after a run of the camera."""
    place.images()
    start(CameraSettings(**place.settings()))
    return place.settings()


def of_another_version(place: Place) -> dict[str, Any]:
    settings = used_before(place)
    with closing(sqlite3.connect(place.outbox)) as database:
        database.execute("PRAGMA user_version = 99")
    return settings


def damaged(place: Place) -> dict[str, Any]:
    settings = used_before(place)
    place.outbox.write_bytes(b"no database" * 1_000)
    return settings


def moved_away(place: Place) -> dict[str, Any]:
    for file in list((place.folder / "outbox").iterdir()):
        file.rename(place.folder / file.name)
    return place.settings()


def with_broken_reference(place: Place) -> dict[str, Any]:
    (place.folder / "reference.png").write_bytes(b"none")
    place.images()
    return place.settings(reference=place.folder / "reference.png")


def without_reference(place: Place) -> dict[str, Any]:
    (place.folder / "reference.png").unlink()
    return place.settings(reference=place.folder / "reference.png")


def with_other_kinds(place: Place) -> dict[str, Any]:
    (place.folder / "images").mkdir()
    (place.folder / "images" / "1.heic").write_bytes(b"")
    return place.settings()


def with_outbox_at_a_file(place: Place) -> dict[str, Any]:
    (place.folder / "file").touch()
    return {**with_images(place), "outbox_folder": place.folder / "file"}


def with_pipe(place: Place) -> dict[str, Any]:
    os.mkfifo(place.folder / "video.mp4")
    return place.settings(source=str(place.folder / "video.mp4"))


def with_video(place: Place) -> dict[str, Any]:
    (place.folder / "video.mp4").unlink()
    return place.settings(source=str(write_video(place.folder / "video.mp4", images=3)))


def with_a_folder_as_reference(place: Place) -> dict[str, Any]:
    place.images()
    return place.settings(reference=place.folder)


def with_an_unnamed_heic(place: Place) -> dict[str, Any]:
    (place.folder / "photo").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    return place.settings(source=str(place.folder / "photo"))


def with_zip(place: Place) -> dict[str, Any]:
    with zipfile.ZipFile(place.folder / "images.zip", "w") as archive:
        archive.write(place.images() / "1.png", "1.png")
    (place.folder / "images" / "1.png").unlink()
    return place.settings(source=str(place.folder / "images.zip"))


def with_it_unpacked(place: Place) -> dict[str, Any]:
    with zipfile.ZipFile(place.folder / "images.zip") as archive:
        archive.extractall(place.folder / "images")
    return place.settings()


def with_videos_below(place: Place) -> dict[str, Any]:
    (place.folder / "images").mkdir()
    write_video(place.folder / "images" / "a.mp4", images=3)
    return place.settings()


def at(path: str, password: str = ENCODED) -> Callable[[Place], dict[str, Any]]:
    return lambda place: place.settings(source=place.web.address(path, login=f"admin:{password}@"))


CASES = {
    "nothing is there": Case(
        nothing,
        "CAMERA_SOURCE is a video file",
        lambda place: place.settings(source=str(write_video(place.folder / "video.mp4", images=3))),
    ),
    "a folder instead": Case(nothing, "a folder of images", with_images),
    "images in folders below": Case(
        with_images_below,
        "its folders cam-1 have some: give one of them as the source",
        lambda place: place.settings(source=str(place.folder / "images" / "cam-1")),
    ),
    "images of other kinds": Case(with_other_kinds, "its 1 other images would have to be converted", with_images),
    "a region beyond the image": Case(
        lambda place: {**with_images(place), "roi": "0,0,9000,9000"},
        "reaches beyond the image, which is 64 x 48",
        lambda place: place.settings(roi="0,0,64,48"),
    ),
    "a setting of other cameras": Case(
        lambda place: {**with_images(place), "trigger": "Line1"}, "CAMERA_TRIGGER is for .*: remove it", with_images
    ),
    "a reference that is no image": Case(with_broken_reference, "delete it to take a new one", without_reference),
    "an outbox of another version": Case(of_another_version, "or move the file away", moved_away),
    "a damaged outbox": Case(damaged, "move it away to start with an empty one", moved_away),
    "an outbox at a file": Case(with_outbox_at_a_file, "check CAMERA_OUTBOX_FOLDER", nothing),
    "a password with signs of addresses": Case(
        at("video", PASSWORD), "write # as %23, / as %2F, \\? as %3F, @ as %40, .* and % as %25", at("video")
    ),
    "a wrong password": Case(at("video", "hunter2"), "refuses the user or the password .*: check both", at("video")),
    "a wrong path": Case(at("vidoe"), "has nothing at this path .*: check the path of the address", at("video")),
    "a stream as a still image": Case(
        lambda place: {**at("video")(place), "kind": "image", "silence_seconds": 1},
        "if it is a stream, remove CAMERA_KIND=image",
        at("video"),
    ),
    "a named pipe": Case(
        with_pipe, "neither a file nor a folder: write the video to a file, and give that", with_video
    ),
    "a folder as reference": Case(
        with_a_folder_as_reference,
        "is a folder: name an image file in it, such as .*/reference.png",
        lambda place: place.settings(reference=place.folder / "reference.png"),
    ),
    "an image of a kind that can't be read": Case(with_an_unnamed_heic, "save it as JPEG or PNG", with_images),
    "a zip of images": Case(with_zip, "unpack it, and give the folder of its images", with_it_unpacked),
    "a folder of videos": Case(
        with_videos_below,
        "its videos are a.mp4: give one of them as the source",
        lambda place: place.settings(source=str(place.folder / "images" / "a.mp4")),
    ),
    "the page of the camera": Case(at(""), "answers with a page .*: check its path", at("video")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_an_error_advises_helps(tmp_path: Path, web: WebCamera, name: str) -> None:
    case, place = CASES[name], Place(tmp_path, web)
    settings = CameraSettings(**case.fault(place))
    with pytest.raises(CameraError, match=case.error):
        start(settings)
    start(CameraSettings(**case.advice(place)))


@pytest.mark.parametrize("apart", ["name", "line"])
def test_two_cameras_with_one_outbox_are_told_to_have_two_names(tmp_path: Path, web: WebCamera, apart: str) -> None:
    settings = with_images(Place(tmp_path, web))
    with Outbox.of(CameraSettings(**settings), str(ULID())):
        with pytest.raises(CameraError, match="give each its own CAMERA_LINE or CAMERA_NAME, or stop the other one"):
            start(CameraSettings(**settings))
        start(CameraSettings(**{**settings, apart: "other-1"}))
    start(CameraSettings(**settings))
