"""Mutated files at each entry: only the declared error comes of them, within bounds of memory and time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.camera.errors import CameraError
from services.camera.sources.video_file import VideoFile
from services.dashboard.ingest.archive import DamagedSegment, read_segment
from services.dashboard.labelling.videos.scan import scan
from shared.contracts.bundle import EVALUATION, MANIFEST, RECIPE, SCORES, BundleError, read_bundle_folder
from shared.contracts.scores import parse_scores
from shared.imaging.codec import encode
from shared.imaging.video import UnreadableMedia
from shared.settings import ServiceSettings
from shared.storage.filesystem import FilesystemStore
from tests.bounded import run_bounded
from tests.camera_videos import write_video
from tests.images import SMALL
from tests.messages import inspected
from tests.property.mutation import mutations

SAMPLE = Path(__file__).parents[2] / "samples" / "model"
KEY = "verdicts/2026-01-31/1230-01HZX3V8Q4J7M2T6N9R5W0Y1KB.jsonl.gz"


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def refused(attempt: Callable[[], object], error: type[Exception]) -> bool:
    try:
        attempt()
    except error:
        return True
    return False


def bomb() -> bytes:
    """A line of 300 MB, packed."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"a" * 1_000_000)
    return packed.getvalue()


def archive() -> None:
    lines = b"".join(inspected(number).encode() for number in range(20))
    samples = [gzip.compress(lines), bomb()]
    with folder() as place:
        store = FilesystemStore(place)
        broken = 0
        for content in (*samples[1:], *mutations(samples[:1], 150), *map(gzip.compress, mutations([lines], 100))):
            store.put(KEY, content)
            broken += refused(lambda: list(read_segment(store, KEY)), DamagedSegment)
    assert 50 < broken < 240, broken


def bundle() -> None:
    files = {name: (SAMPLE / name).read_bytes() for name in (RECIPE, SCORES, EVALUATION)}
    manifest = json.loads((SAMPLE / MANIFEST).read_bytes())
    broken = 0
    with folder() as place:
        for name in (MANIFEST, *files):
            digests = {each: hashlib.sha256(content).hexdigest() for each, content in files.items()}
            whole = json.dumps({**manifest, "files": digests}).encode()
            for each, content in files.items():
                (place / each).write_bytes(content)
            for content in mutations([whole if name == MANIFEST else files[name]], 40):
                (place / name).write_bytes(content)
                changed = {**digests, name: hashlib.sha256(content).hexdigest()}
                described = content if name == MANIFEST else json.dumps({**manifest, "files": changed}).encode()
                (place / MANIFEST).write_bytes(described)
                broken += refused(lambda: _scores_of(place), BundleError)
    assert 20 < broken < 160, broken


def _scores_of(place: Path) -> None:
    read = read_bundle_folder(place)
    parse_scores(read.files.get(SCORES, b""), read.version)


def uploads() -> None:
    """The archive itself mutated, and whole archives of mutated images."""
    images = [encode(SMALL, "png"), encode(SMALL, "jpeg")]
    inner = [*images, *mutations(images, 100)]
    broken = 0
    with folder() as place:
        for each in (*mutations([zipped(images)], 100), *(zipped([image]) for image in inner)):
            (place / "upload").write_bytes(each)
            broken += refused(lambda: scan(place / "upload"), UnreadableMedia)
    assert 100 < broken < 200, broken


def zipped(images: list[bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for number, image in enumerate(images):
            file.writestr(f"{number}.png", image)
    return content.getvalue()


def videos() -> None:
    """What a camera plays: damaged frames are passed over, and a file that is no video is refused."""
    broken = played = 0
    with folder() as place:
        whole = write_video(place / "whole.mp4", 12).read_bytes()
        for content in mutations([whole], 60):
            (place / "video.mp4").write_bytes(content)
            try:
                for _, take in islice(VideoFile.of_file(place / "video.mp4", 25.0).images(), 100):
                    if callable(take):
                        take()
                    played += 1
            except CameraError:
                broken += 1
    assert 0 < broken < 60, broken
    assert played > 24, played


def addresses() -> None:
    """Where servers are, as the environment names them: refused without the password, or taken."""
    urls = [
        b"amqps://rabbit.plant:5671/seamline?topology=given",
        b"sqlite:///var/broker",
        b"s3s://store.plant:9000/seamline",
        b"file:///var/objects",
    ]
    broken = 0
    for content in mutations(urls, 120):
        text = content.decode("latin-1").replace("\0", "")
        for name in ("broker_url", "storage_url"):
            try:
                ServiceSettings.model_validate({name: text})
            except ValidationError:
                broken += 1
    assert 120 < broken < 240, broken


@pytest.mark.parametrize("entry", ["archive", "bundle", "uploads", "videos", "addresses"])
def test_only_the_declared_error_comes_of_mutated_files(entry: str) -> None:
    run_bounded(f"tests.property.test_entries:{entry}", growth=100, seconds=30)
