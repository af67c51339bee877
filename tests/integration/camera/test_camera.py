"""The camera as a process, on both brokers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import cv2
import pytest

from shared.imaging.codec import decode
from shared.messaging.port import Broker
from tests.broker_address import BrokerAddress
from tests.camera_process import Line, StartCamera
from tests.camera_videos import number_of, write_images, write_video
from tests.genicam_camera import NAME, fake_camera
from tests.web_cameras import WebCamera, jpeg, multipart


def test_every_frame_of_a_video_arrives_once_and_in_order(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=300, size=(128, 96))
    camera = start_camera(
        {
            **broker_address.environment("CAMERA_"),
            "CAMERA_SOURCE": str(video),
            "CAMERA_PACE": "fast",
            "CAMERA_LINE": "line-7",
            "CAMERA_NAME": "lamp-holder",
            "CAMERA_BATCH": "b-2026-01",
            "CAMERA_RECORD": str(tmp_path / "videos"),
        },
    )
    line = Line(broker)
    line.take_until_finished()
    assert camera.wait() == 0
    assert [frame.frame.sequence for frame in line.frames] == list(range(300))
    assert [number_of(decode(frame.image)) for frame in line.frames] == list(range(300))
    identity = line.frames[-1].frame
    assert (identity.line, identity.camera, identity.batch) == ("line-7", "lamp-holder", "b-2026-01")
    (report,) = line.finished.values()
    assert (report.captured, report.dropped, report.waiting) == (300, 0, 0)
    assert line.reports[0].state == "running"
    (recorded,) = (tmp_path / "videos").glob("line-7.lamp-holder-*.mp4")
    assert cv2.VideoCapture(str(recorded)).get(cv2.CAP_PROP_FRAME_COUNT) == 300


def test_what_a_camera_could_not_read_and_that_it_froze_is_reported(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    def parts() -> Iterator[bytes]:
        for number in range(1, 31):
            whole = jpeg(number)
            yield whole if number % 5 else whole[: len(whole) // 2]
        yield from repeat(jpeg(31))

    with WebCamera(multipart(parts)) as web:
        camera = start_camera(
            {
                **broker_address.environment("CAMERA_"),
                "CAMERA_SOURCE": web.address("video?token=hunter2", login="admin:hunter2@"),
                "CAMERA_FROZEN_SECONDS": "0.5",
            }
        )
        line = Line(broker)
        line.take_until(lambda: line.last_report is not None and line.last_report.sight == "frozen")
        frozen_from = len(line.frames)
        line.take_until(lambda: line.last_report is not None and line.last_report.unreadable > 30)
        assert camera.stop() == 0
    line.take_until_finished()
    numbers = [number_of(decode(frame.image)) for frame in line.frames]
    assert numbers[:24] == [number for number in range(1, 31) if number % 5]
    assert len(numbers) <= frozen_from + 200, "a frozen camera gives no more frames"
    (report,) = line.finished.values()
    assert report.captured == len(numbers)
    assert report.unreadable > 30
    assert f"{report.unreadable} images of the source could not be read" in report.reason
    said = camera.log.read_text()
    assert "images of the source could not be read" in said
    assert "hunter2" not in said + str(line.reports)


@pytest.mark.xdist_group("genicam")
def test_a_genicam_camera_is_taken_again_after_its_service_was_killed(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    settings = {**broker_address.environment("CAMERA_"), "CAMERA_SOURCE": f"genicam:{NAME}"}
    line = Line(broker)
    with fake_camera(tmp_path, lost_packets_per_thousand=5):
        killed = start_camera(settings)
        line.take_more(5)
        killed.kill()
        camera = start_camera(settings)
        line.take_until(lambda: line.last_report is not None and line.last_report.unreadable > 0)
        line.take_more(5)
        assert camera.stop() == 0
        line.take_until_finished(sessions=2)
    assert all(decode(frame.image).shape == (512, 512, 3) for frame in line.frames)
    last = line.reports[-1]
    arrived = line.sequences(last.session)
    assert arrived == sorted(set(arrived))
    assert len(arrived) == last.captured - last.dropped, "a busy machine may be too slow for the camera, and says so"
    assert last.unreadable > 0


def test_a_loop_goes_on_until_the_asked_number_of_frames(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    write_images(tmp_path / "images", [f"{number}.png" for number in range(7)])
    camera = start_camera(
        {
            **broker_address.environment("CAMERA_"),
            "CAMERA_SOURCE": str(tmp_path / "images"),
            "CAMERA_PACE": "fast",
            "CAMERA_AT_END": "loop",
            "CAMERA_FRAMES": "20",
            "CAMERA_ENCODING": "png",
            "CAMERA_FRAMES_PER_PART": "7",
        },
    )
    line = Line(broker)
    line.take_until_finished()
    assert camera.wait() == 0
    assert [number_of(decode(frame.image)) for frame in line.frames] == [number % 7 for number in range(20)]
    assert len({frame.frame.part for frame in line.frames}) == 3


def test_a_stop_sends_the_captured_frames_and_reports_them(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=100, frames_per_second=50)
    settings = {"CAMERA_SOURCE": str(video), "CAMERA_AT_END": "loop"}
    camera = start_camera({**broker_address.environment("CAMERA_"), **settings})
    line = Line(broker)
    line.take_more(20)
    assert camera.stop() == 0
    line.take_until_finished()
    (report,) = line.finished.values()
    assert report.reason == "stopped on request"
    assert (report.captured, report.waiting) == (len(line.frames), 0)
    assert line.sequences() == list(range(report.captured))


def test_a_killed_camera_loses_no_frame_and_the_next_run_reports_its_counts(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=200, frames_per_second=50)
    settings = {**broker_address.environment("CAMERA_"), "CAMERA_SOURCE": str(video), "CAMERA_AT_END": "loop"}
    line = Line(broker)
    for run in range(3):
        camera = start_camera(settings)
        line.take_more(30)
        if run < 2:
            camera.kill()
    assert camera.stop() == 0
    line.take_until_finished(sessions=3)
    assert len({frame.frame.session for frame in line.frames}) == 3
    for session, report in line.finished.items():
        assert line.sequences(session) == list(range(report.captured))
        assert (report.dropped, report.waiting) == (0, 0)


def test_an_image_that_cant_be_decoded_arrives_as_it_is(
    tmp_path: Path, sqlite: BrokerAddress, start_camera: StartCamera
) -> None:
    write_images(tmp_path / "images", ["1.png", "3.png"])
    (tmp_path / "images" / "2.png").write_bytes(b"")
    settings = {"CAMERA_SOURCE": str(tmp_path / "images"), "CAMERA_PACE": "fast"}
    camera = start_camera({**sqlite.environment("CAMERA_"), **settings})
    line = Line(sqlite.open())
    line.take_until_finished()
    assert camera.wait() == 0
    assert [len(frame.image) > 0 for frame in line.frames] == [True, False, True]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"CAMERA_SOURCE": "missing.mp4"}, "there is no missing.mp4"),
        ({"CAMERA_SOURCE": "rtsp://user:hunter2@127.0.0.1:1/stream"}, "rtsp://127.0.0.1:1/… does not answer"),
        ({}, "CAMERA_SOURCE"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, sqlite: BrokerAddress, settings: dict[str, str], said: str, start_camera: StartCamera
) -> None:
    camera = start_camera({**sqlite.environment("CAMERA_"), **settings})
    assert camera.wait() == 2
    written = camera.log.read_text()
    assert re.fullmatch(r"[^\n]+\n", written), written
    assert said in written
    assert "hunter2" not in written


def test_a_second_camera_of_the_same_name_is_refused(
    tmp_path: Path, sqlite: BrokerAddress, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=50)
    settings = {**sqlite.environment("CAMERA_"), "CAMERA_SOURCE": str(video), "CAMERA_AT_END": "loop"}
    first = start_camera(settings)
    line = Line(sqlite.open())
    line.take_until(lambda: bool(line.frames))
    other_log = tmp_path / "other"
    other_log.mkdir()
    second = start_camera({**settings, "CAMERA_OUTBOX_FOLDER": str(tmp_path / "outbox")}, folder=other_log)
    assert second.wait() == 2
    assert "another camera uses" in second.log.read_text()
    assert first.stop() == 0
