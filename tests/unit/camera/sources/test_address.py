"""An address never tells its secrets, and one that can't be read says what to do."""

from __future__ import annotations

import pytest

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sources.address import checked_address, encoding_hint, redacted
from services.camera.sources.opening import open_source


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:hunter2@10.0.0.7:554/stream", "rtsp://10.0.0.7:554/…"),
        ("rtsp://10.0.0.7:554/user=admin&password=hunter2&channel=1", "rtsp://10.0.0.7:554/…"),
        ("http://10.0.0.7:554/video?user=admin&pwd=hunter2", "http://10.0.0.7:554/…"),
        ("rtsp://user:hunter2/x@10.0.0.7:554/stream", "rtsp://…"),
        ("rtsp://user:a#hunter2?[@10.0.0.7:554/stream", "rtsp://…"),
        ("rtsp://user:p@hunter2/@10.0.0.7:554", "rtsp://…"),
        ("rtsp://user:a://hunter2@10.0.0.7:554", "rtsp://…"),
        ("http://10.0.0.7/video?user=ops@plant.example&pwd=hunter2", "http://…"),
        ("http://10.0.0.7/video?pwd=a@hunter2", "http://…"),
        ("rtsp://user:p@hunter2@10.0.0.7:554/1", "rtsp://10.0.0.7:554/…"),
        ("rtsp://user:hunter2@[fe80::1%25eth0]:554/1", "rtsp://[fe80::1%25eth0]:554/…"),
        ('"rtsp://user:hunter2?x@10.0.0.7/stream"', "…://…"),
        (" user:hunter2?x@10.0.0.7/stream", "…"),
        ("10.0.0.7/stream?user=a@b&password=hunter2", "…"),
        ("RTSP://user:hunter2@10.0.0.7", "RTSP://10.0.0.7"),
        ("gopher://user:hunter2@10.0.0.7/x", "gopher://10.0.0.7/…"),
        ("user:hunter2@10.0.0.7/stream", "user:…"),
        ("rtsp:/user:hunter2@10.0.0.7/stream", "rtsp:…"),
        ("us er:hunter2@10.0.0.7/stream", "…@10.0.0.7/stream"),
        ("10.0.0.7/stream?password=hunter2", "10.0.0.7/stream?…"),
        ("videos/film.mp4", "videos/film.mp4"),
        ("film.mp4", "film.mp4"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_password(source: str, shown: str) -> None:
    assert redacted(source) == shown


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:hunter2#2024@127.0.0.1:1/ok",
        "rtsp://admin:hunter2/x@127.0.0.1:1/ok",
        "rtsp://admin:hunter2?x@127.0.0.1:1/ok",
        "rtsp://admin:[hunter2@127.0.0.1:1/ok",
        "http://admin:[hunter2@127.0.0.1:1/ok",
        "http://admin:hunter2#x@127.0.0.1:1/ok",
        "http://127.0.0.1:1/ok?x=[hunter2",
        "rtsp://admin:hunter2]@127.0.0.1:1/ok",
        "foo://user:hunter2@127.0.0.1/live",
        "file://user:hunter2@127.0.0.1/live",
        "rtsp:/user:hunter2@127.0.0.1/live",
        "user:hunter2@127.0.0.1/live",
        "RTMP://user:hunter2@127.0.0.1:1/live",
        "://user:hunter2@127.0.0.1/live",
        "rtsp://user:hunter2@/live",
        "rtsp://user:hunter2\n@127.0.0.1:1/live",
    ],
)
def test_no_error_of_a_source_holds_its_password(source: str) -> None:
    settings = CameraSettings(source=source)
    with pytest.raises(CameraError) as refusal:
        open_source(settings, lambda *_: None)
    assert "hunter2" not in str(refusal.value)
    assert "hunter2" not in repr(settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize("password", ["a#b", "a/b", "a?b", "a[b", "1234/b"])
def test_a_password_that_was_not_encoded_is_answered_with_how_to_write_it(scheme: str, password: str) -> None:
    with pytest.raises(CameraError, match="write # as %23"):
        open_source(CameraSettings(source=f"{scheme}://admin:{password}@127.0.0.1:1/ok"), lambda *_: None)


@pytest.mark.parametrize("scheme", ["srt", "SRT", "onvif", "webrtc"])
def test_a_scheme_that_opencv_does_not_read_is_answered_with_what_to_use(scheme: str) -> None:
    with pytest.raises(CameraError, match="let the camera or a media server send the stream over RTSP, HLS or UDP"):
        open_source(CameraSettings(source=f"{scheme}://admin:hunter2@127.0.0.1:1/ok"), lambda *_: None)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("file:///plant/a%20b.mp4", "/plant/a b.mp4"),
        ("FILE://localhost/plant/a.mp4", "/plant/a.mp4"),
        ("file:/plant/a.mp4", "/plant/a.mp4"),
        ("file://server/plant/a.mp4", "file://server/plant/a.mp4"),
        ("~/a.mp4", "/home/ada/a.mp4"),
        (" 'a.mp4' ", "a.mp4"),
    ],
)
def test_a_file_may_be_given_as_people_copy_it(monkeypatch: pytest.MonkeyPatch, source: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert CameraSettings(source=source).source == path


def test_the_hint_is_not_given_where_it_does_not_help() -> None:
    assert encoding_hint("rtsp://admin:secret@127.0.0.1/ok") == ""
    assert encoding_hint("rtsp://127.0.0.1/ok") == ""


def test_the_scheme_of_an_address_is_written_as_ffmpeg_reads_it() -> None:
    assert checked_address("RTSP://Camera/Path") == "rtsp://Camera/Path"
