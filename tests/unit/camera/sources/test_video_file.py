from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import CameraSettings
from services.camera.sources import video_file as video_module
from services.camera.sources.captured_image import CapturedImage
from services.camera.sources.image_folder import ImageFolder
from services.camera.sources.opencv_capture import open_capture, redacted
from services.camera.sources.opening import open_source
from services.camera.sources.sampling import Sampling
from services.camera.sources.video_file import Player, VideoFile
from shared.health import Health
from shared.imaging.codec import encode
from tests.camera_videos import number_of, write_images, write_video

VIDEOS = Path(os.environ.get("SEAMLINE_DATA", Path(__file__).parents[5] / "shared" / "data")) / "line_videos"


def heartbeat() -> Heartbeat:
    return Heartbeat(threading.Event(), Health())


def play(source: object, most: int = 10_000) -> list[CapturedImage]:
    shots = []
    for shot in source.images(heartbeat()):  # type: ignore[attr-defined]
        shots.append(shot)
        if len(shots) == most:
            break
    return shots


def open_video(path: Path, **settings: object) -> object:
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
    counted = sum(shot.pixels is not None for shot in open_video(path).images(heartbeat()))  # type: ignore[attr-defined]
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
        (lambda path: path.mkdir(), "has no .jpg"),
        (lambda path: path.write_bytes(b""), "not a video that can be read"),
        (lambda path: path.write_text("a text\n" * 1000), "not a video that can be read"),
    ],
)
def test_a_source_that_cant_be_used_is_reported_in_one_line(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "source"
    make(path)  # type: ignore[operator]
    with pytest.raises(CameraError, match=said) as refusal:
        open_video(path)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_other_formats_is_refused_with_a_remedy(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.bmp"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(CameraError, match="its 1 other images would have to be converted"):
        open_video(tmp_path)


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


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:hunter2@10.0.0.7:554/stream",
        "rtsp://10.0.0.7:554/user=admin&password=hunter2&channel=1",
        "http://10.0.0.7:554/video?user=admin&pwd=hunter2",
        "rtsp://user:hunter2/x@10.0.0.7:554/stream",
        "rtsp://user:a#hunter2?[@10.0.0.7:554/stream",
        "rtsp://user:p@hunter2/@10.0.0.7:554",
    ],
)
def test_an_address_is_shown_without_its_password(address: str) -> None:
    assert "hunter2" not in redacted(address)
    assert "10.0.0.7:554" in redacted(address)


def test_an_address_that_cant_be_read_is_refused_without_its_password() -> None:
    settings = CameraSettings(source="http://user:a[hunter2@10.0.0.7/stream", line="line-1")
    with pytest.raises(CameraError, match="write \\[ as %5B") as refusal:
        open_source(settings, lambda *_: None)
    assert "hunter2" not in str(refusal.value)


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

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._said = iter([0, 40, 1e15, 80, -1e9, float("nan"), 160, 200])

    def get(self, what: int) -> float:
        return next(self._said) if what == cv2.CAP_PROP_POS_MSEC else float(self._capture.get(what))

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


def test_a_video_that_is_away_when_it_is_played_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "RETRY_SECONDS", 0.05)
    path = write_video(tmp_path / "video.mp4", images=3)
    player = Player(VideoFile.of_file(path, 25), Sampling(), paced=False, loop=True)
    shots = player.images(heartbeat())
    assert [number_of(next(shots).pixels) for _ in range(3)] == [0, 1, 2]
    path.rename(tmp_path / "away.mp4")
    back = threading.Timer(0.3, lambda: (tmp_path / "away.mp4").rename(path))
    back.start()
    assert [number_of(next(shots).pixels) for _ in range(3)] == [0, 1, 2]
    back.join()
