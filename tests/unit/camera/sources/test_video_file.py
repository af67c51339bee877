from __future__ import annotations

import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import CameraSettings
from services.camera.sources import video_file as video_module
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.sources.image_folder import ImageFolder
from services.camera.sources.opencv_capture import open_capture
from services.camera.sources.opening import open_source
from services.camera.sources.sampling import Sampling
from services.camera.sources.video_file import Player, VideoFile
from shared.health import Health
from shared.imaging.codec import encode
from tests.camera_videos import damaged, number_of, scene, trimmed, write_images, write_interlaced, write_video

VIDEOS = Path(os.environ.get("SEAMLINE_DATA", Path(__file__).parents[5] / "shared" / "data")) / "line_videos"


def heartbeat() -> Heartbeat:
    return Heartbeat(threading.Event(), Health())


def play(source: object, most: int = 10_000) -> list[CapturedImage]:
    """The images that can be read."""
    return [shot for shot in play_all(source, most) if isinstance(shot, CapturedImage)]


def play_all(source: object, most: int = 10_000) -> list[CapturedImage | Unreadable]:
    return list(islice(source.images(heartbeat()), most))  # type: ignore[attr-defined]


def open_video(path: Path | str, **settings: object) -> object:
    chosen = CameraSettings(source=str(path), **{"pace": "fast", **settings})  # type: ignore[arg-type]
    return open_source(chosen, lambda _state, _reason: None)


def test_a_video_gives_all_its_images_in_order(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", images=40)
    assert [number_of(shot.pixels) for shot in play(open_video(video))] == list(range(40))


@pytest.mark.parametrize(
    ("name", "images"),
    [("fabric_strip_dev", 2105), ("fruit_conveyor", 101), ("bolt_conveyor", 37), ("bottle_line", 1189)],
)
def test_real_videos_are_played_to_their_last_image(name: str, images: int) -> None:
    path = VIDEOS / f"{name}.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not there: SEAMLINE_DATA names the folder of the inspection images")
    counted = sum(isinstance(shot, CapturedImage) for shot in open_video(path).images(heartbeat()))  # type: ignore[attr-defined]
    assert counted == images


def test_a_loop_begins_again_after_the_last_image(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", images=5)
    shots = play(open_video(video, at_end="loop"), most=12)
    assert [number_of(shot.pixels) for shot in shots] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_sampling_goes_on_counting_across_the_loop(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", images=5)
    shots = play(open_video(video, at_end="loop", every_nth=2), most=6)
    assert [number_of(shot.pixels) for shot in shots] == [0, 2, 4, 1, 3, 0]


def test_a_video_is_played_at_its_own_speed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", images=10, frames_per_second=20)
    began = time.monotonic()
    shots = play(open_video(video, pace="source"))
    assert time.monotonic() - began > 0.44
    assert 0.4 < (shots[-1].captured_at - shots[0].captured_at).total_seconds() < 20


def test_a_stop_ends_a_video_that_waits_for_its_next_image(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    stop = threading.Event()
    shots = open_video(tmp_path, pace="source", frames_per_second=0.01).images(Heartbeat(stop, Health()))  # type: ignore[attr-defined]
    next(shots)
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    assert next(shots, None) is None
    assert time.monotonic() - began < 50


def test_a_video_that_ends_early_gives_its_frames(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "video.avi", images=40, codec="MJPG")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    numbers = [number_of(shot.pixels) for shot in play(open_video(cut))]
    assert 5 < len(numbers) < 40
    assert numbers[:-1] == list(range(len(numbers) - 1))  # the last one is cut


def test_images_come_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    names = ["a1.png", "a2.png", "A10.png", "a10b.png", "b.png", "b01.png", "b1.png"]
    write_images(tmp_path, names)
    shots = play(open_video(tmp_path))
    assert [number_of(shot.pixels) for shot in shots] == list(range(len(names)))


def test_only_the_images_of_a_folder_are_taken(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    (tmp_path / "labels.csv").write_text("name,good\n")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert len(play(open_video(tmp_path))) == 1


def test_one_image_is_a_source_too(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    assert len(play(open_video(tmp_path / "2.png"))) == 1


def test_an_image_file_comes_with_its_bytes(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.jpg"])
    (shot,) = play(open_video(tmp_path))
    assert shot.file is not None
    assert (shot.file.encoding, shot.file.content) == ("jpeg", (tmp_path / "1.jpg").read_bytes())


def test_an_image_that_cant_be_decoded_keeps_its_bytes_and_says_why(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (tmp_path / "4.png").write_bytes(png_that_claims(20_000, 5_000))
    shots = play(open_video(tmp_path))
    assert [shot.pixels is None for shot in shots] == [False, True, True, True]
    assert [shot.file.content for shot in shots if shot.file] == [
        (tmp_path / name).read_bytes() for name in ("1.png", "2.png", "3.jpg", "4.png")
    ]
    assert "zero bytes" in shots[1].problem
    assert "100 megapixels" in shots[3].problem


def png_that_claims(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(b"\0"), b"IEND"]
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_the_content_of_a_file_counts_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "really_a_png.jpg").write_bytes(encode(np.zeros((4, 4, 3), np.uint8), "png"))
    (shot,) = play(open_video(tmp_path))
    assert shot.file is not None
    assert shot.file.encoding == "png"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no"),
        (lambda path: path.mkdir(), "has no image that can be read"),
        (lambda path: path.write_bytes(b""), "not a video that can be read"),
        (lambda path: path.write_text("a text\n" * 1000), "not a video that can be read"),
        (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(99)), "of kind HEIC, .*: save it as JPEG or PNG"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "is a zip: unpack it, and give the folder"),
        (write_interlaced, "interlaced: .* convert it with `ffmpeg -i FILE -vf yadif"),
    ],
)
def test_a_source_that_cant_be_used_is_reported_in_one_line(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "source"
    make(path)  # type: ignore[operator]
    with pytest.raises(CameraError, match=said) as refusal:
        open_video(path)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_other_formats_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "1.gif").write_bytes(b"GIF89a")
    with pytest.raises(CameraError, match="its 1 other images would have to be converted"):
        open_video(tmp_path)


def test_a_folder_of_videos_names_them(tmp_path: Path) -> None:
    (tmp_path / "b.MP4").touch()
    (tmp_path / "a.ts").touch()
    with pytest.raises(CameraError, match=r"its videos are a\.ts, b\.MP4: give one of them as the source"):
        open_video(tmp_path)


def test_what_a_folder_has_beside_its_images_is_logged_once(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    write_images(tmp_path / "more", ["2.png", "3.png"])
    for name in ("2.heic", "film.mp4", "notes.txt", "Thumbs.db", ".hidden"):
        (tmp_path / name).touch()
    with capture_logs() as logs:
        assert len(play(open_video(tmp_path))) == 1
    events = {each["event"]: each for each in logs}
    assert events["skipping images of kinds that can't be read"]["images"] == 1
    assert events["skipping folders with images"]["skipped"] == ["more"]
    assert events["skipping files that are no images"]["such_as"] == ["film.mp4", "notes.txt"]


@pytest.mark.parametrize("ending", [".jpg", ".tiff"])
def test_an_image_without_an_ending_is_an_image(tmp_path: Path, ending: str) -> None:
    content = cv2.imencode(ending, np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    (whole,), (cut,) = play(open_video(tmp_path / "whole")), play(open_video(tmp_path / "cut"))
    assert whole.file is not None
    assert (whole.pixels is None, cut.pixels is None) == (False, True), "a decoder of videos would repair it"
    assert cut.problem
    assert len(play(open_video(tmp_path))) == 2, "also in a folder"


def test_a_missing_usb_camera_is_reported_in_one_line() -> None:
    with pytest.raises(CameraError, match="no USB camera 97"):
        open_video(Path("97"))


@pytest.mark.parametrize("region", ["60,0,10,10", "0,41,64,8", "0,0,65,48"])
def test_a_region_beyond_the_image_is_reported_with_both_sizes(tmp_path: Path, region: str) -> None:
    video = write_video(tmp_path / "video.mp4", images=2, size=(64, 48))
    with pytest.raises(CameraError, match=r"CAMERA_ROI .* 64 x 48"):
        open_video(video, roi=region)


def test_the_whole_image_is_a_region_too(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", images=2, size=(64, 48))
    assert len(play(open_video(video, roi="0,0,64,48"))) == 2


def test_a_video_is_played_after_sampling_at_the_rate_it_says() -> None:
    class Any25:
        size = None
        frames_per_second = 25.0

        def images(self):  # type: ignore[no-untyped-def]
            return iter(())

    assert Player(Any25(), Sampling(every_nth=5), paced=False, loop=False).frames_per_second == 5


def test_a_video_knows_its_speed_and_size(tmp_path: Path) -> None:
    video = VideoFile.of_file(write_video(tmp_path / "video.mp4", images=3, frames_per_second=12.5), 10)
    assert video.frames_per_second == 12.5
    assert video.size == (64, 48)
    assert ImageFolder([], 7).frames_per_second == 7


class _WrongTimes:
    """A capture whose container says times that can't be true."""

    def __init__(self, capture: cv2.VideoCapture, said: Sequence[float] | None = None) -> None:
        self._capture = capture
        self._said = iter(said or [0, 40, 1e15, 80, -1e9, float("nan"), 160, 200])
        self._time = 0.0

    def grab(self) -> bool:
        grabbed = self._capture.grab()
        self._time = next(self._said) if grabbed else self._time
        return grabbed

    def get(self, what: int) -> float:
        return self._time if what == cv2.CAP_PROP_POS_MSEC else float(self._capture.get(what))

    def __getattr__(self, name: str) -> object:
        return getattr(self._capture, name)


def test_a_video_whose_times_jump_is_played_to_its_end_at_its_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile.of_file(write_video(tmp_path / "video.mp4", images=8), 25)
    monkeypatch.setattr(video_module, "open_capture", lambda address: _WrongTimes(open_capture(address)))
    times = [at for at, _ in video.images()]
    assert times == pytest.approx([number / 25 for number in range(8)], abs=0.1)
    assert times == sorted(times)


def test_images_that_a_video_trims_itself_are_not_missing(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", images=60)
    seen = play_all(open_video(trimmed(whole, 1.2, 2.4, tmp_path / "trimmed.mp4")))
    assert [number_of(each.pixels) for each in seen if isinstance(each, CapturedImage)] == [*range(30, 60)]
    assert len(seen) == 30


def test_an_hour_without_an_image_is_not_waited_for_whatever_the_rate_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile.of_file(write_video(tmp_path / "video.mp4", images=8), 25)
    video.frames_per_second = 8 / 3600  # as a container says that divides its images by its time
    said = [*range(0, 160, 40), *range(3_600_160, 3_600_320, 40)]
    monkeypatch.setattr(video_module, "open_capture", lambda address: _WrongTimes(open_capture(address), said))
    times = [at for at, _ in video.images()]
    assert times == pytest.approx([number / 25 for number in range(8)], abs=0.001)


def test_a_video_that_is_away_when_it_is_played_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "RETRY_SECONDS", 0.05)
    path = write_video(tmp_path / "video.mp4", images=3)
    player = Player(VideoFile.of_file(path, 25), Sampling(), paced=False, loop=True)
    shots = (shot for shot in player.images(heartbeat()) if isinstance(shot, CapturedImage))
    assert [number_of(next(shots).pixels) for _ in range(3)] == [0, 1, 2]
    path.rename(tmp_path / "away.mp4")
    back = threading.Timer(0.3, lambda: (tmp_path / "away.mp4").rename(path))
    back.start()
    assert [number_of(next(shots).pixels) for _ in range(3)] == [0, 1, 2]
    back.join()


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "mp4v"), ("mkv", "mp4v"), ("avi", "MJPG"), ("mp4", "mp4v")])
def test_a_video_goes_on_after_damage_and_each_image_is_read_or_reported(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    whole = write_video(tmp_path / f"whole.{suffix}", images=150, codec=codec, size=(160, 120))
    shots = play_all(open_video(damaged(whole, 0.4, 0.5, tmp_path / f"damaged.{suffix}")))
    numbers = [number_of(shot.pixels) for shot in shots if isinstance(shot, CapturedImage)]
    assert numbers == sorted(set(numbers)), "no image comes twice, and none is a mixture of two"
    assert numbers[:50] == list(range(50))
    assert numbers[-30:] == list(range(120, 150))
    assert 147 <= len(shots) <= 150
    accepted = play_all(open_video(tmp_path / f"damaged.{suffix}", accept_repaired=True))
    assert sum(isinstance(shot, CapturedImage) for shot in accepted) > len(numbers)


IMAGES = 48
DAMAGES = {
    "a lost block": lambda content, at: content[:at] + bytes(512) + content[at + 512 :],
    "lost bytes": lambda content, at: content[:at] + content[at + 564 :],
    "a missing end": lambda content, at: content[:at],
}
DAMAGED = [
    *((kind, damage) for kind in ("VP80.webm", "VP90.mkv", "mp4v.ts", "MJPG.avi") for damage in DAMAGES),
    ("mp4v.mp4", "a lost block"),
]
"""Codec and container; an MP4 whose table of images, at its end, is lost can't be read."""


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / str(request.param)
    return write_video(path, IMAGES, size=(160, 128), codec=path.stem, draw=scene)


@pytest.mark.parametrize(("whole", "damage"), DAMAGED, indirect=["whole"])
def test_no_image_of_a_damaged_video_passes_that_the_whole_one_does_not_have(
    whole: Path, tmp_path: Path, damage: str
) -> None:
    """The decoders of VP8 and VP9 notice none of this, and those of the others not all."""
    images = {shot.pixels.tobytes() for shot in play(open_video(whole)) if shot.pixels is not None}
    content = whole.read_bytes()
    path = tmp_path / whole.name
    path.write_bytes(DAMAGES[damage](content, len(content) * 6 // 10))
    seen = play_all(open_video(path))
    read = [shot.pixels.tobytes() for shot in seen if isinstance(shot, CapturedImage) and shot.pixels is not None]
    assert set(read) <= images
    assert len(read) >= IMAGES // 3
    assert IMAGES - 1 <= len(seen) <= IMAGES or (whole.suffix, damage) == (".ts", "a missing end")
    assert len(seen) > len(read)


def test_a_video_whose_clock_starts_over_takes_the_time_of_both_parts(tmp_path: Path) -> None:
    one = write_video(tmp_path / "one.ts", images=40)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)
    assert [number_of(shot.pixels) for shot in play(open_video(joined))] == [*range(40), *range(40)]
    times = [at for at, _ in VideoFile.of_file(joined, 25).images()]
    assert times == pytest.approx([number / 25 for number in range(80)], abs=0.1)
    sampled = play(open_video(joined, most_per_second=5))
    assert len(sampled) == pytest.approx(80 / 25 * 5, abs=1)


def test_a_clock_that_jumps_by_an_hour_is_logged_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile.of_file(write_video(tmp_path / "video.mp4", images=8), 25)
    said = [0, 40, 80, 3_600_080, 3_600_120, 3_600_160, 3_600_200, 3_600_240]
    monkeypatch.setattr(video_module, "open_capture", lambda address: _WrongTimes(open_capture(address), said))
    with capture_logs() as lines:
        times = [at for at, _ in video.images()]
    assert times == pytest.approx([number / 25 for number in range(8)], abs=0.01)
    assert any("the clock of the video jumps" in line["event"] for line in lines)


def test_a_pause_of_a_few_seconds_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = VideoFile.of_file(write_video(tmp_path / "video.mp4", images=3), 25)
    monkeypatch.setattr(video_module, "open_capture", lambda address: _WrongTimes(open_capture(address), [0, 40, 4040]))
    assert [at for at, _ in video.images()] == pytest.approx([0, 0.04, 4.04])


def test_a_file_whose_name_is_a_number_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "video.mp4", images=3).rename(tmp_path / "2024")
    assert len(play(open_video("2024"))) == 3
    with pytest.raises(CameraError, match="no USB camera 2024"):
        open_video("2024", kind="live")


@pytest.mark.parametrize("device", ["/dev/video97", "/dev/v4l/by-id/usb-camera-97", "/dev/null"])
def test_a_device_is_opened_as_a_usb_camera(device: str) -> None:
    with pytest.raises(CameraError, match=f"no USB camera {device}"):
        open_video(device)


def test_an_image_beyond_the_limit_is_read_where_a_region_is_cut_from_it(tmp_path: Path) -> None:
    large = np.full((7_100, 7_100, 3), 120, np.uint8)
    cv2.imwrite(str(tmp_path / "large.jpg"), large)
    (refused,) = play(open_video(tmp_path))
    assert refused.pixels is None
    assert "set a region of interest at the camera (CAMERA_ROI)" in refused.problem
    (cut,) = play(open_video(tmp_path, roi="0,0,1000,1000"))
    assert cut.pixels is not None


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_an_image_that_is_neither_jpeg_nor_png_is_sent_as_png(tmp_path: Path, suffix: str) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 20:] = 200
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    cv2.imwrite(str(tmp_path / f"1{suffix}"), image, options)
    (shot,) = play(open_video(tmp_path))
    assert shot.file is not None
    assert shot.file.encoding == "png"
    assert shot.pixels is not None
    assert (shot.pixels == image).all()


@pytest.mark.parametrize("name", ["a.jfif", "b.jpe", "c.JPG"])
def test_a_jpeg_is_taken_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encode(np.zeros((4, 4, 3), np.uint8), "jpeg"))
    assert len(play(open_video(tmp_path))) == 1


def test_a_folder_whose_images_lie_in_folders_below_names_them(tmp_path: Path) -> None:
    for name in ("Apfel", "Orange"):
        write_images(tmp_path / name, ["1.png"])
    with pytest.raises(CameraError, match="its folders Apfel, Orange have some"):
        open_video(tmp_path)


@pytest.mark.parametrize("cut", [0.5, 0.9, 0.99])
def test_a_cut_image_file_is_sent_as_it_is_so_that_its_verdict_is_an_error(tmp_path: Path, cut: float) -> None:
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    content = encode(image, "jpeg")
    (tmp_path / "1.jpg").write_bytes(content[: int(len(content) * cut)])
    (tmp_path / "2.jpg").write_bytes(content[: int(len(content) * cut)].ljust(len(content), b"\0"))
    shots = play(open_video(tmp_path))
    assert [shot.pixels for shot in shots] == [None, None]
    assert all("broken image" in shot.problem for shot in shots)
    assert all(shot.file for shot in shots)
