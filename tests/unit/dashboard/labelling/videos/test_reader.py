"""Frames by number: the same number always gives the same image."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest

from services.dashboard.labelling.videos import scan as scan_module
from services.dashboard.labelling.videos.reader import AlbumReader, VideoReader
from services.dashboard.labelling.videos.repository import VideoRepository
from services.dashboard.labelling.videos.scan import scan
from shared.imaging.video import UnreadableMedia, opened_video
from shared.storage.filesystem import FilesystemStore
from tests.camera_videos import damaged, trimmed, write_interlaced, write_video
from tests.labelling import jpeg, number_in
from tests.verdicts import RECIPE


@pytest.mark.parametrize(("name", "codec"), [("video.mp4", "mp4v"), ("video.avi", "MJPG")])
def test_a_number_gives_the_same_image_however_it_is_reached(tmp_path: Path, name: str, codec: str) -> None:
    content = scan(write_video(tmp_path / name, 120, codec=codec))
    assert (content.kind, content.frames, content.width) == ("video", 120, 64)
    video = VideoReader(tmp_path / name, content.times)
    wanted = [0, 1, 2, 119, 118, 60, 59, 61, 0, *random.Random(3).sample(range(120), 25)]
    assert [number_in(video.image(number)) for number in wanted] == wanted
    video.close()


def test_a_video_with_useless_times_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", 40)
    video = VideoReader(path, [0.0] * 40)
    assert [number_in(video.image(number)) for number in (30, 7, 39)] == [30, 7, 39]
    video.close()


def test_interlaced_video_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=r"interlaced: .* convert it with `ffmpeg -i FILE -vf yadif"):
        scan_module.scan_video(write_interlaced(tmp_path / "video.h264"))


def test_a_damaged_passage_does_not_end_a_video(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 150, codec="mp4v", size=(160, 120))
    content = scan(damaged(whole, 0.4, 0.5, tmp_path / "damaged.mkv"))
    assert 100 < content.frames < 150
    assert content.left_out > 0
    video = VideoReader(tmp_path / "damaged.mkv", content.times)
    last = content.frames - 1
    assert number_in(video.image(last)) == 149
    assert [number_in(video.image(number)) for number in (10, last - 20, 0)] == [10, 129, 0]
    video.close()


def test_a_frame_that_the_decoder_repaired_is_no_frame_to_label(tmp_path: Path) -> None:
    """Each number gives an image of the whole video, whether it is reached by reading or by seeking."""
    whole = write_video(tmp_path / "whole.mkv", 150, codec="mp4v", size=(160, 120))
    content = scan(damaged(whole, 0.4, 0.5, tmp_path / "damaged.mkv"))
    before = VideoReader(whole, scan(whole).times)
    images = {number_in(image): image for image in (before.image(number) for number in range(150))}
    before.close()
    for numbers in (range(content.frames), random.Random(3).sample(range(content.frames), 30)):
        video = VideoReader(tmp_path / "damaged.mkv", content.times)
        shown = [video.image(number) for number in numbers]
        video.close()
        assert all(image == images[number_in(image)] for image in shown)
        seen = [number_in(image) for image in shown]
        assert seen == [sorted(set(seen))[at] for at in map(sorted(numbers).index, numbers)]


class _Recorded:
    """A capture whose container counts its time from the beginning of a recording that was cut into files."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture

    def get(self, what: int) -> float:
        found = float(self._capture.get(what))
        return found + 25_000 if what in (cv2.CAP_PROP_PTS, cv2.CAP_PROP_FRAME_COUNT) else found

    def __getattr__(self, name: str) -> object:
        return getattr(self._capture, name)


def test_a_video_whose_clock_does_not_start_at_zero_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "video.mp4", 50)

    @contextmanager
    def recorded(path: Path) -> Iterator[_Recorded]:
        with opened_video(path) as capture:
            yield _Recorded(capture)

    monkeypatch.setattr(scan_module, "opened_video", recorded)
    assert scan(path).frames == 50


def test_a_video_that_trims_its_own_beginning_is_not_refused(tmp_path: Path) -> None:
    path = trimmed(write_video(tmp_path / "whole.mp4", 60), 1.2, 2.4, tmp_path / "trimmed.mp4")
    content = scan(path)
    assert (content.frames, content.left_out) == (30, 0)
    video = VideoReader(path, content.times)
    assert [number_in(video.image(number)) for number in (0, 29, 12)] == [30, 59, 42]
    video.close()


def test_the_images_of_a_zip_are_in_natural_order(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "seams.zip", "w") as archive:
        for number in (10, 9, 2):
            archive.writestr(f"part/{number}.jpg", jpeg(number))
        archive.writestr("read me.txt", "no image")
    content = scan(tmp_path / "seams.zip")
    assert content.names == ("part/2.jpg", "part/9.jpg", "part/10.jpg")


def test_the_images_of_a_zip_of_macos_have_their_names(tmp_path: Path) -> None:
    path = tmp_path / "seams.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Pr__fling.jpg", jpeg(3))
        archive.writestr("without ending", jpeg(4))
        archive.writestr("README", "no image")
        archive.writestr("__MACOSX/._Pr__fling.jpg", b"")
    path.write_bytes(path.read_bytes().replace(b"Pr__fling", "Prüfling".encode()))  # without the mark of UTF-8
    content = scan(path)
    assert content.names == ("Prüfling.jpg", "without ending")
    album = AlbumReader(path, content.names)
    assert [album.image(0), album.image(1)] == [jpeg(3), jpeg(4)]
    album.close()


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_a_photo_of_a_telephone_is_no_video(tmp_path: Path, kind: str) -> None:
    brand = {"HEIC": b"heic", "AVIF": b"avif"}[kind]
    (tmp_path / "IMG_1").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(99))
    with pytest.raises(UnreadableMedia, match=f"a file of kind {kind}, which can't be read: save it as JPEG or PNG"):
        scan(tmp_path / "IMG_1")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seams.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", jpeg(1))
    damaged = bytearray(path.read_bytes())
    damaged[35:60] = b"\xff" * 25
    path.write_bytes(damaged)
    with pytest.raises(UnreadableMedia, match="pack it again"):
        scan(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_can_only_be_unpacked_as_a_whole_is_refused(tmp_path: Path, packed: int) -> None:
    """The archive contains an image and claims to contain no more; gigabytes of zeros may follow."""
    path = tmp_path / "seams.zip"
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr("1.jpg", jpeg(1))
    with pytest.raises(UnreadableMedia, match="pack it again with deflate"):
        scan(path)


def test_a_zip_with_a_very_long_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seams.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{'a' * 60_000}.jpg", jpeg(1))
    with pytest.raises(UnreadableMedia, match="rename it"):
        scan(path)


def test_a_zip_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seams.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("é.jpg", jpeg(1))
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(UnreadableMedia, match="pack it again"):
        scan(path)


def test_a_file_that_is_no_video_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, 40)
    whole = path.read_bytes()
    bad = {
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n": "convert a video",
        b"": "convert a video",
        whole[: len(whole) // 3]: "ffmpeg",
        b"PK\x03\x04 no zip at all": "pack it again",
    }
    for content, says in bad.items():
        path.write_bytes(content)
        with pytest.raises(UnreadableMedia, match=says):
            scan(path)


def test_a_video_whose_end_is_missing_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.avi", 200, codec="MJPG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableMedia, match=r"breaks off after \d\.\d of 8\.0 s"):
        scan(path)


def test_a_broken_image_in_a_zip_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "seams.zip", "w") as archive:
        archive.writestr("1.jpg", jpeg(1))
        archive.writestr("2.jpg", jpeg(2)[:200])
    with pytest.raises(UnreadableMedia, match=r"2\.jpg can't be used: broken"):
        scan(tmp_path / "seams.zip")


def test_an_open_video_is_closed_for_another_one_and_opened_again(tmp_path: Path) -> None:
    videos = VideoRepository(FilesystemStore(tmp_path / "objects"))
    added = []
    for number in range(6):
        path = write_video(tmp_path / "seam.mp4", 20 + number)
        added.append(videos.add(path, scan(path), name="seam.mp4", recipe_yaml=RECIPE, by="ann"))
    assert [each.name for each in added] == ["seam", "seam-2", "seam-3", "seam-4", "seam-5", "seam-6"]
    for each in (*added, *added):
        assert number_in(videos.image(each, each.frames - 1)) == each.frames - 1
    videos.close()
