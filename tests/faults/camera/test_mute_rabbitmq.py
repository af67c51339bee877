"""The camera before a RabbitMQ that accepts connections and is mute."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.broker_address import BrokerAddress
from tests.camera_process import SECONDS, Line, StartCamera
from tests.camera_videos import write_video
from tests.full_disk import frames_on
from tests.processes import free_port, wait_until
from tests.servers import Endpoint
from tests.soak.proxy import Proxy

FRAMES_PER_SECOND = 20
MUTE_SECONDS = 25


def test_a_camera_sends_again_by_itself_after_its_broker_was_mute(
    tmp_path: Path, rabbitmq: BrokerAddress, rabbitmq_server: Endpoint, start_camera: StartCamera
) -> None:
    proxy = Proxy(rabbitmq_server.port)
    behind = BrokerAddress(
        rabbitmq.url.replace(f":{rabbitmq_server.port}/", f":{proxy.port}/"), rabbitmq.user, rabbitmq.password
    )
    video = write_video(tmp_path / "video.mp4", images=100, frames_per_second=FRAMES_PER_SECOND)
    health = free_port()
    settings = {"CAMERA_SOURCE": str(video), "CAMERA_AT_END": "loop", "CAMERA_HEALTH_PORT": str(health)}
    line = Line(rabbitmq.open())
    camera = start_camera({**behind.environment("CAMERA_"), **settings})
    line.take_more(20)
    with proxy.mute():
        proxy.cut()
        waiting = FRAMES_PER_SECOND * MUTE_SECONDS
        wait_until(lambda: frames_on(tmp_path / "outbox") > waiting, SECONDS, "frames of that time to wait")
    proxy.cut()
    line.take_more(waiting)
    wait_until(lambda: httpx.get(f"http://127.0.0.1:{health}/healthz", timeout=30).is_success, SECONDS, "good health")
    assert camera.stop() == 0
    line.take_until_finished()
    (report,) = line.finished.values()
    assert line.sequences() == list(range(report.captured))
    assert (report.dropped, report.waiting) == (0, 0)
