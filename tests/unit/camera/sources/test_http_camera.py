"""Cameras and videos on web servers: what they are is decided by what they answer."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count, islice
from typing import Final

import cv2
import pytest

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sources.http_camera import HttpAddress
from services.camera.sources.opening import open_source
from services.camera.sources.reconnecting import LiveCamera
from services.camera.sources.video_file import Player
from shared.messages import CameraState
from tests.camera_videos import image_of, number_of, write_video
from tests.processes import wait_until
from tests.unit.camera.sources.test_reconnecting import Watcher
from tests.unit.camera.sources.test_video_file import open_video, play
from tests.web_cameras import Answer, WebCamera, content, jpeg, multipart

Serve = Callable[[Answer], WebCamera]
Watch = Callable[..., Watcher]


@pytest.fixture
def serve() -> Iterator[Serve]:
    open_cameras: list[WebCamera] = []

    def begin(answer: Answer) -> WebCamera:
        open_cameras.append(WebCamera(answer).__enter__())
        return open_cameras[-1]

    yield begin
    for camera in open_cameras:
        camera.__exit__(None, None, None)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watchers: list[Watcher] = []

    def begin(address: str, **settings: object) -> Watcher:
        watchers.append(Watcher(address, **settings))
        return watchers[-1]

    yield begin
    for watcher in watchers:
        watcher.source.close()


def zeroed(image: bytes) -> bytes:
    """An image whose second half was never written."""
    return image[: len(image) // 2] + bytes(len(image) - len(image) // 2)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda image: image[: len(image) // 2], "broken image"),
        (lambda image: image[:-2], "broken image"),
        (zeroed, "broken image"),
        (lambda _: b"<html>busy</html>", "neither a JPEG nor a PNG"),
    ],
    ids=["cut", "without its end", "half zeros", "a page"],
)
def test_a_damaged_image_is_told_and_the_camera_stays_open(
    serve: Serve, watch: Watch, damage: Callable[[bytes], bytes], said: str
) -> None:
    def parts() -> Iterable[bytes]:
        return (damage(jpeg(number)) if number % 5 == 3 else jpeg(number) for number in count())

    watcher = watch(serve(multipart(parts)).address())
    numbers, problems = watcher.seen(20)
    assert numbers == [number for number in range(25) if number % 5 != 3][:20]
    assert len(problems) == 5
    assert all(said in problem for problem in problems)
    assert watcher.states == []


@pytest.mark.parametrize(
    "oddity",
    [
        {"first_delimiter": False},
        {"lengths": False},
        {"lengths": False, "first_delimiter": False},
        {"content_type": 'multipart/x-mixed-replace; boundary="frame"'},
        {"content_type": "multipart/x-mixed-replace;boundary=--frame"},
        {"content_type": "multipart/x-mixed-replace;boundary=--frame", "delimiter": "----frame", "lengths": False},
        {"content_type": "multipart/x-mixed-replace; boundary=other", "lengths": False},
        {"content_type": None},
        {"content_type": "application/octet-stream"},
        {"content_type": None, "first_delimiter": False},
    ],
    ids=str,
)
def test_motion_jpeg_is_read_as_cameras_send_it(serve: Serve, watch: Watch, oddity: dict[str, object]) -> None:
    watcher = watch(serve(multipart(**oddity)).address())  # type: ignore[arg-type]
    assert watcher.seen(8) == (list(range(8)), [])


def test_an_image_of_a_camera_is_passed_on_byte_for_byte(serve: Serve, watch: Watch) -> None:
    shot = watch(serve(multipart()).address()).next(3)[2]
    assert shot.file is not None
    assert shot.file.content == jpeg(2)


def still(every: float = 0.0) -> Answer:
    """The address of a still image that shows the next number at each visit."""
    numbers = count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(every)
        content(jpeg(next(numbers)), "image/jpeg")(handler)

    return answer


def test_the_address_of_a_still_image_is_polled_at_the_asked_rate(serve: Serve, watch: Watch) -> None:
    watcher = watch(serve(still()).address("snapshot.jpg"), frames_per_second=20)
    began = time.monotonic()
    numbers, _ = watcher.seen(15)
    assert numbers == list(range(numbers[0], numbers[0] + 15)), "each answer is one image"
    assert time.monotonic() - began > 13 / 20
    assert watcher.states == []


def test_a_still_image_that_fails_for_a_moment_is_told_and_one_that_fails_for_long_is_opened_again(
    serve: Serve, watch: Watch
) -> None:
    camera = serve(still())
    watcher = watch(camera.address("snapshot.jpg"), frames_per_second=50, silence_seconds=2)
    watcher.next(2)
    working, camera.answer = camera.answer, content(b"busy", "text/plain", 503)
    problem = next(shot for shot in watcher.shots if hasattr(shot, "reason"))
    assert "503" in problem.reason
    wait_until(lambda: bool(watcher.states), 120, "a camera that fails for long")
    assert watcher.states[0][0] is CameraState.RECONNECTING
    camera.answer = working
    watcher.next(2)


def test_a_still_image_whose_connection_breaks_for_a_moment_is_told_and_the_camera_stays_open(
    serve: Serve, watch: Watch
) -> None:
    camera = serve(still())
    working = camera.answer

    def breaking(handler: BaseHTTPRequestHandler) -> None:
        if camera.visits % 3 == 0:
            handler.connection.close()
            return
        working(handler)

    watcher = watch(camera.address("snapshot.jpg"), frames_per_second=50)
    camera.answer = breaking
    numbers, problems = watcher.seen(12)
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    assert len(problems) >= 3
    assert all("does not answer" in problem for problem in problems)
    assert watcher.states == []


def logging_in(answer: Answer, scheme: str) -> Answer:
    """The same behind a login of admin with the password pa#ss."""

    def check(handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers.get("Authorization", "")
        if scheme == "Basic":
            right = given == "Basic " + base64.b64encode(b"admin:pa#ss").decode()
        else:
            fields = dict(re.findall(r'(\w+)="?([^",]+)', given))
            secret = hashlib.md5(b"admin:cam:pa#ss").hexdigest()
            asked = hashlib.md5(f"GET:{handler.path}".encode()).hexdigest()
            counted = ":".join(fields.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
            right = fields.get("response") == hashlib.md5(f"{secret}:{counted}:{asked}".encode()).hexdigest()
        if right:
            answer(handler)
            return
        handler.send_response(401)
        more = ', nonce="abc", qop="auth"' if scheme == "Digest" else ""
        handler.send_header("WWW-Authenticate", f'{scheme} realm="cam"{more}')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return check


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
@pytest.mark.parametrize("kind", ["still", "motion"])
def test_a_camera_is_logged_in_to_as_it_asks(serve: Serve, watch: Watch, scheme: str, kind: str) -> None:
    camera = serve(logging_in(still() if kind == "still" else multipart(), scheme))
    assert len(watch(camera.address(login="admin:pa%23ss@")).next(2)) == 2
    with pytest.raises(CameraError, match="refuses the user or the password") as refusal:
        watch(camera.address(login="admin:wrong@"))
    assert "wrong" not in str(refusal.value)


def redirect(location: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (content(b"<html>log in</html>", "text/html"), "answers with a page"),
        (content(b"{}", "application/json"), "answers with a page"),
        (content(b"", "text/plain", 404), "check the path of the address"),
        (content(b"", "text/plain", 503), "503"),
        (content(b"not a video at all" * 100, "application/octet-stream"), "does not answer with a video"),
        (content("<html>Gr\xfc\xdfe</html>".encode("latin-1"), "text/html"), "answers with a page"),
        (
            content(b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash" type="static">', "application/dash+xml"),
            "a playlist of MPEG-DASH, which can't be read: give the address of the same camera for HLS",
        ),
        (redirect("rtsp://admin:hunter2@127.0.0.1:1/live"), r"redirects to rtsp://127.0.0.1:1/…: give that address"),
        (redirect("/x"), "redirects in a circle"),
    ],
)
def test_an_address_that_answers_with_something_else_is_told_in_one_line(
    serve: Serve, watch: Watch, answer: Answer, said: str
) -> None:
    with pytest.raises(CameraError, match=said) as refusal:
        watch(serve(answer).address("x?password=hunter2", login="admin:hunter2@"))
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_camera_that_falls_silent_is_opened_again_after_its_time(serve: Serve, watch: Watch) -> None:
    over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield from (jpeg(number) for number in range(5))
        over.wait(300)

    watcher = watch(serve(multipart(parts)).address(), silence_seconds=2)
    assert watcher.seen(5)[0] == [0, 1, 2, 3, 4]
    began = time.monotonic()
    assert watcher.seen(5)[0] == [0, 1, 2, 3, 4]
    assert 1.9 < time.monotonic() - began < 200
    assert watcher.states[0][0] is CameraState.RECONNECTING
    assert "has sent nothing for 2 s" in watcher.states[0][1]
    over.set()


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("stream") / "0.ts", images=60, codec="mp4v").read_bytes()


def test_an_answer_with_a_length_is_a_video_and_one_without_is_a_camera_whatever_its_name(
    serve: Serve, transport_stream: bytes
) -> None:
    def source(path: str, *, length: bool, **settings: object) -> object:
        camera = serve(content(transport_stream, "video/mp2t", length=length))
        chosen = CameraSettings(source=camera.address(path), pace="fast", **settings)  # type: ignore[arg-type]
        return open_source(chosen, lambda *_: None)

    assert isinstance(source("0.ts", length=True), Player)
    assert isinstance(source("live", length=True), Player)
    assert isinstance(source("0.ts", length=False), LiveCamera)
    assert isinstance(source("0.ts", length=True, kind="live"), LiveCamera)
    assert isinstance(source("0.ts", length=False, kind="video"), Player)


def test_a_stream_over_http_is_opened_again_when_it_ends(serve: Serve, watch: Watch, transport_stream: bytes) -> None:
    camera = serve(content(transport_stream, "video/mp2t", length=False))
    watcher = watch(camera.address("drop/0.ts"))
    shots = list(islice((shot for shot in watcher.shots if not hasattr(shot, "reason")), 90))
    assert len(shots) == 90, "more than the stream has"
    assert {state for state, _ in watcher.states} >= {CameraState.RECONNECTING}


def test_a_video_on_a_web_server_is_played_to_its_end(serve: Serve, transport_stream: bytes) -> None:
    camera = serve(content(transport_stream, "application/octet-stream"))
    assert len(play(open_video(camera.address("download")))) == 60


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n#EXTINF:6,\n1.ts\n#EXT-X-ENDLIST\n", "video"),
        (b"#EXTM3U\n" + b"#EXTINF:6,\n1.ts\n" * 20_000 + b"#EXT-X-ENDLIST\n", "video"),
        (jpeg(1), "image"),
        *((cv2.imencode(ending, image_of(1))[1].tobytes(), "image") for ending in (".png", ".bmp", ".tiff", ".webp")),
        (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", "mjpeg"),
        (b"\x47\x40\x00\x10\x00" + bytes(183), "video"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:8],
)
@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain"])
def test_the_first_bytes_say_what_the_headers_do_not(serve: Serve, body: bytes, kind: str, content_type: str) -> None:
    address = serve(content(body, content_type)).address("cgi-bin/media?channel=1&quality=2")
    assert HttpAddress(address, silence_seconds=4).kind() == kind


def playlist(*lines: str, end: bool) -> bytes:
    head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:3"]
    return "\n".join([*head, *lines, *(["#EXT-X-ENDLIST"] if end else []), ""]).encode()


SEGMENT: Final = ("#EXT-X-DISCONTINUITY", "#EXTINF:2.4,", "segment.ts")


def test_a_playlist_that_ends_is_a_video_of_all_its_segments(serve: Serve, transport_stream: bytes) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = transport_stream if handler.path.endswith(".ts") else playlist(*SEGMENT * 3, end=True)
        content(body, "application/vnd.apple.mpegurl" if body[:1] == b"#" else "video/mp2t")(handler)

    video = open_video(serve(answer).address("index.m3u8"))
    assert isinstance(video, Player)
    assert [number_of(image.pixels) for image in play(video)] == [*range(60)] * 3


@pytest.mark.parametrize(("ends", "kind"), [(True, "video"), (False, "playlist")])
def test_a_playlist_of_several_qualities_has_an_end_if_the_first_of_them_has_one(
    serve: Serve, ends: bool, kind: str
) -> None:
    variants = (
        b"#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\n\r\nlow/index.m3u8?a=1\r\n#EXT-X-STREAM-INF:BANDWIDTH=2\r\nhigh"
    )

    def answer(handler: BaseHTTPRequestHandler) -> None:
        is_variant = handler.path == "/vod/low/index.m3u8?a=1"
        content(playlist(*SEGMENT, end=ends) if is_variant else variants, "application/x-mpegurl")(handler)

    camera = serve(logging_in(answer, "Digest"))
    address = camera.address("vod/main.m3u8", login="admin:pa%23ss@")
    assert HttpAddress(address, silence_seconds=4).kind() == kind


def test_a_playlist_that_goes_on_is_a_live_camera(serve: Serve, watch: Watch, transport_stream: bytes) -> None:
    asked = count(1)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith(".ts"):
            content(transport_stream, "video/mp2t")(handler)
            return
        head = f"#EXT-X-MEDIA-SEQUENCE:{next(asked)}"
        content(playlist(head, *SEGMENT * 3, end=False), "application/vnd.apple.mpegurl")(handler)

    watcher = watch(serve(answer).address("live.m3u8"))
    assert isinstance(watcher.source, LiveCamera)
    assert len(watcher.next(240)) == 240, "more than the segments of one playlist have"
    assert watcher.states == []
