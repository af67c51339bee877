"""The camera while the broker, its queue, object storage or the camera itself fails."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.camera import sender
from services.camera.capture_loop import CaptureLoop
from services.camera.frame_identity import Session
from services.camera.frame_maker import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.recorder import NoRecorder
from services.camera.reporter import CameraReporter
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.opening import open_source
from services.camera.triggers.opening import open_triggers
from shared import topology
from shared.health import Health
from shared.imaging.codec import decode, encode
from shared.storage.filesystem import FilesystemStore
from shared.storage.s3 import MinioStore
from shared.topology import INFERENCE_FRAMES, Queue
from tests.broker_address import BrokerAddress
from tests.camera_process import SECONDS, CameraProcess, Line, StartCamera
from tests.camera_videos import write_video
from tests.conftest import PrivateRabbit
from tests.mjpeg_camera import MjpegCamera
from tests.processes import wait_until
from tests.servers import start_s3

SMALL = [replace(queue, limit=10) if queue == INFERENCE_FRAMES else queue for queue in topology.QUEUES]

stops_rabbitmq = pytest.mark.xdist_group("private-rabbitmq")


class CameraInside:
    """A camera in this process."""

    def __init__(
        self,
        folder: Path,
        address: BrokerAddress,
        queues: Sequence[Queue] = topology.QUEUES,
        source_images: int = 100,
        **settings: object,
    ) -> None:
        self._address = address
        self.queues = queues
        video = write_video(folder / "video.mp4", images=source_images)
        defaults = {"source": str(video), "window": 8, "report_seconds": 0.2}
        chosen = CameraSettings(outbox_folder=folder / "outbox", **{**defaults, **settings})  # type: ignore[arg-type]
        session = Session.of(chosen)
        self.outbox = Outbox.of(chosen, session.id)
        reporter = CameraReporter(session, self.outbox, chosen.report_seconds)
        store = FilesystemStore(folder / "objects")
        sending = Sender(self.outbox, store, reporter, lambda: address.open(self.queues), chosen.window)
        handler = FrameMaker(chosen, session, self.outbox, NoRecorder())
        self.stop = threading.Event()
        sight = SightWatch(chosen, reporter.set_sight)
        source, triggers = open_source(chosen, reporter.set_state), open_triggers(chosen, lambda: None)
        self._loop = CaptureLoop(source, handler, self.outbox, sending, chosen, sight, triggers)
        self._thread = threading.Thread(target=lambda: self._loop.run(Heartbeat(self.stop, Health())), daemon=True)

        self._thread.start()

    @contextmanager
    def read(self) -> Iterator[Line]:
        broker = self._address.open(self.queues)
        yield Line(broker)
        broker.close()

    def join(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self.outbox.__exit__(None, None, None)


def events_of(camera: CameraProcess) -> list[str]:
    lines = camera.log.read_text().splitlines()
    return [json.loads(line)["event"] for line in lines if line[:1] == "{" and line[-1:] == "}"]


def frames_in_outbox(folder: Path) -> int:
    for path in (folder / "outbox").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database, suppress(sqlite3.OperationalError):
            return int(database.execute("SELECT count(*) FROM frames").fetchone()[0])
    return 0


@stops_rabbitmq
def test_while_the_broker_is_away_frames_wait_and_then_arrive_in_order(
    tmp_path: Path, private_rabbitmq: PrivateRabbit, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=100, frames_per_second=20)
    settings = {"CAMERA_SOURCE": str(video), "CAMERA_AT_END": "loop"}
    broker = private_rabbitmq.address.open()
    line = Line(broker)
    camera = start_camera({**private_rabbitmq.address.environment("CAMERA_"), **settings})
    line.take_more(20)
    private_rabbitmq.server.stop()
    wait_until(lambda: "frames wait in the outbox" in events_of(camera), SECONDS, "the camera to notice")
    private_rabbitmq.server.start()
    wait_until(lambda: "the outbox has caught up" in events_of(camera), SECONDS, "the outbox to be sent")
    assert camera.stop() == 0
    line.take_until_finished()
    (report,) = line.finished.values()
    assert line.sequences() == list(range(report.captured))
    assert (report.dropped, report.waiting) == (0, 0)
    broker.close()


@stops_rabbitmq
def test_a_camera_starts_without_a_broker_and_stops_without_one_and_nothing_is_lost(
    tmp_path: Path, private_rabbitmq: PrivateRabbit, start_camera: StartCamera
) -> None:
    private_rabbitmq.server.stop()
    video = write_video(tmp_path / "video.mp4", images=40, frames_per_second=40)
    address = private_rabbitmq.address.environment("CAMERA_")
    settings = {**address, "CAMERA_SOURCE": str(video), "CAMERA_DRAIN_SECONDS": "0.5"}
    first = start_camera(settings)
    wait_until(lambda: frames_in_outbox(tmp_path) == 40, SECONDS, "the video to be in the outbox")
    assert first.stop() == 0
    assert "frames wait in the outbox for the next start" in events_of(first)
    private_rabbitmq.server.start()
    second = start_camera(settings)
    broker = private_rabbitmq.address.open()
    line = Line(broker)
    line.take_until_finished(sessions=2)
    assert second.wait() == 0
    sessions = list(dict.fromkeys(frame.frame.session for frame in line.frames))
    assert sessions == sorted(line.finished), "the earlier session comes first"
    assert [line.sequences(session) for session in sessions] == [list(range(40))] * 2
    assert [line.finished[session].captured for session in sessions] == [40, 40]
    broker.close()


@stops_rabbitmq
def test_a_broker_that_neither_confirms_nor_refuses_is_asked_again_and_nothing_is_lost(
    tmp_path: Path, private_rabbitmq: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "CONFIRM_SECONDS", 1.0)
    camera = CameraInside(tmp_path, private_rabbitmq.address, source_images=200, pace="source")
    wait_until(lambda: camera.outbox.counts().captured > 20, SECONDS, "the camera to run")
    private_rabbitmq.server.pause()
    wait_until(lambda: camera.outbox.waiting > 50, SECONDS, "frames to wait")
    private_rabbitmq.server.resume()
    with camera.read() as line:
        line.take_until_finished()
        camera.join()
    (report,) = line.finished.values()
    assert (report.captured, report.dropped, report.waiting) == (200, 0, 0)
    assert line.sequences() == list(range(200))


def test_a_wrong_password_is_one_line_without_it(
    tmp_path: Path, rabbitmq: BrokerAddress, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=3)
    address = replace(rabbitmq, password="hunter2-is-wrong")
    camera = start_camera({**address.environment("CAMERA_"), "CAMERA_SOURCE": str(video)})
    assert camera.wait() == 2
    written = camera.log.read_text()
    assert written.count("\n") == 1
    assert "hunter2" not in written


# ── a queue that is full ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_video_waits_for_a_full_queue_and_no_frame_is_dropped(tmp_path: Path, broker_address: BrokerAddress) -> None:
    small = CameraInside(tmp_path, broker_address, SMALL, pace="fast")
    wait_until(
        lambda: small.outbox.waiting == 8 and small.outbox.counts().captured >= 18, SECONDS, "the line to be full"
    )
    assert small.outbox.counts().captured <= 10 + 8 + 8, "RabbitMQ's limit is not exact to the frame"
    with small.read() as line:
        line.take_until_finished()
        small.join()
    (report,) = line.finished.values()
    assert (report.captured, report.dropped, report.waiting) == (100, 0, 0)
    assert sorted(line.sequences()) == list(range(100))


def test_a_camera_before_a_full_queue_fills_its_outbox_and_then_counts_dropped_frames(
    tmp_path: Path, sqlite: BrokerAddress
) -> None:
    small = CameraInside(tmp_path, sqlite, SMALL, pace="source", outbox_frames=20)
    wait_until(lambda: small.outbox.counts().dropped > 30, SECONDS, "frames to be dropped")
    assert small.outbox.counts().waiting == 20
    with small.read() as line:
        line.take_until_finished()
        small.join()
    (report,) = line.finished.values()
    assert report.captured == 100
    assert report.dropped > 30
    assert report.waiting == 0
    assert len(line.sequences()) == report.captured - report.dropped
    assert set(line.sequences()) < set(range(100))


# ── images that are too large for a message ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def large_images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(2).integers(0, 255, (700, 800, 3)).astype(np.uint8)
    (folder / "1.png").write_bytes(encode(noise, "png"))
    (folder / "2.png").write_bytes(encode(noise[:100, :100], "png"))
    return folder


def test_a_large_image_waits_for_object_storage_and_travels_by_reference(
    tmp_path: Path, large_images: Path, sqlite: BrokerAddress, start_camera: StartCamera
) -> None:
    endpoint, server = start_s3(tmp_path / "s3")
    server.stop()
    storage = {
        "CAMERA_STORAGE_URL": f"s3://127.0.0.1:{endpoint.port}/images",
        "CAMERA_STORAGE_ACCESS_KEY": endpoint.user,
        "CAMERA_STORAGE_SECRET_KEY": endpoint.password,
    }
    settings = {"CAMERA_SOURCE": str(large_images), "CAMERA_PACE": "fast", "CAMERA_ENCODING": "png"}
    camera = start_camera({**sqlite.environment("CAMERA_"), **storage, **settings})
    wait_until(lambda: "frames wait in the outbox" in events_of(camera), SECONDS, "the camera to notice")
    server.start()
    line = Line(sqlite.open())
    line.take_until_finished()
    assert camera.wait() == 0
    large, small = line.frames
    assert large.image == b""
    assert large.image_key == f"{large.frame.storage_key}/captured.png"
    assert small.image_key is None
    assert small.image
    store = MinioStore(f"127.0.0.1:{endpoint.port}", "images", endpoint.user, endpoint.password)
    assert decode(store.get(large.image_key)).shape == (700, 800, 3)
    server.remove()


# ── a camera that goes away ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def network_camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera(images_per_second=20)
    yield camera
    camera.close()


def test_a_network_camera_that_drops_is_reported_and_comes_back_and_its_password_is_nowhere(
    tmp_path: Path, network_camera: MjpegCamera, sqlite: BrokerAddress, start_camera: StartCamera
) -> None:
    camera = start_camera({**sqlite.environment("CAMERA_"), "CAMERA_SOURCE": network_camera.address})
    line = Line(sqlite.open())
    line.take_more(10)
    network_camera.dropping.set()
    line.take_until(lambda: any(report.state == "reconnecting" for report in line.reports))
    visits = network_camera.visits
    line.take_until(lambda: network_camera.visits > visits)
    network_camera.dropping.clear()
    line.take_more(10)
    line.take_until(lambda: line.reports[-1].state == "running")
    assert camera.stop() == 0
    line.take_until_finished()
    (report,) = line.finished.values()
    assert line.sequences() == list(range(report.captured))
    reported = next(report for report in line.reports if report.state == "reconnecting")
    assert reported.reason.startswith("http://127.0.0.1:")
    assert "hunter2" not in camera.log.read_text() + "".join(report.model_dump_json() for report in line.reports)


def test_frames_of_an_earlier_run_are_sent_while_the_source_is_away(
    tmp_path: Path, sqlite: BrokerAddress, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=20)
    address = {"CAMERA_BROKER_URL": "amqp://127.0.0.1:9/", "CAMERA_BROKER_USER": "u", "CAMERA_BROKER_PASSWORD": "p"}
    first = start_camera({**address, "CAMERA_SOURCE": str(video), "CAMERA_PACE": "fast"})
    wait_until(lambda: frames_in_outbox(tmp_path) == 20, SECONDS, "the video to be in the outbox")
    first.kill()
    video.unlink()
    second = start_camera({**sqlite.environment("CAMERA_"), "CAMERA_SOURCE": str(video), "CAMERA_DRAIN_SECONDS": "60"})
    assert second.wait() == 2
    assert f"there is no {video}" in second.log.read_text()
    line = Line(sqlite.open())
    line.take_until(lambda: len(line.sequences()) == 20, 60)
    assert frames_in_outbox(tmp_path) == 0
