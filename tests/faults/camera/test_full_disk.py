"""The camera on a disk that takes no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.camera.outbox import Outbox
from tests.broker_address import BrokerAddress
from tests.camera_process import SECONDS, Line, StartCamera
from tests.camera_videos import write_video
from tests.full_disk import NOWHERE, frames_on, unshare
from tests.processes import wait_until


def _on_a_small_disk(what: str, folder: Path) -> dict[str, Any]:
    if subprocess.run([*unshare(), "true"], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here; below, a camera starts on a disk that takes no byte")
    command = [*unshare(), sys.executable, "-m", "tests.full_disk", what, str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=2 * SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_outbox_that_filled_its_disk_is_sent_by_the_next_start_and_gives_the_disk_back(tmp_path: Path) -> None:
    found = _on_a_small_disk("camera", tmp_path)
    assert found["exit code"] == 0
    assert found["waited"] > 30
    assert found["sent"] == [found["waited"], found["captured"][1] - found["refused"][1]]
    assert found["captured"][1] == 10
    assert found["refused"][1] <= 1, "a video waits until its disk has room"
    assert found["left"] == 0
    assert found["bytes"] < 5_000_000
    assert found["reserve"], "it is held again for the next time"


def test_a_broker_whose_frames_filled_its_disk_gives_them_out_and_has_room_again(tmp_path: Path) -> None:
    found = _on_a_small_disk("broker", tmp_path)
    assert found["published"] > 30
    assert found["judged"] == found["verdicts"] == found["published"]
    assert found["refused"] == ""


def test_a_worker_whose_frames_in_hand_filled_the_disk_can_answer_for_them(tmp_path: Path) -> None:
    found = _on_a_small_disk("worker", tmp_path)
    assert found["in hand"] == found["verdicts"] == 8


def test_on_a_full_disk_a_camera_starts_and_sends_its_buffered_frames(
    tmp_path: Path, rabbitmq: BrokerAddress, start_camera: StartCamera
) -> None:
    video = write_video(tmp_path / "video.mp4", images=20)
    first = start_camera({**NOWHERE, "CAMERA_SOURCE": str(video), "CAMERA_PACE": "fast"})
    outbox = tmp_path / "outbox"
    wait_until(lambda: frames_on(outbox) == 20, SECONDS, "the video to be in the outbox")
    first.kill()
    for reserve in outbox.glob("*.reserve"):
        reserve.unlink()
    line = Line(rabbitmq.open())
    settings = {**first.environment, **rabbitmq.environment("CAMERA_")}
    command = ["prlimit", "--fsize=0", sys.executable, "-m", "services.camera"]
    second = subprocess.Popen(command, env=settings, stderr=subprocess.DEVNULL)
    line.take_until(lambda: len(line.sequences()) >= 20, 60)
    assert second.wait(SECONDS) == 0
    assert line.sequences() == list(range(20))


def test_a_frame_that_cant_be_read_back_lets_the_others_pass_on_a_full_disk(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.sqlite", "session", frames_limit=9, bytes_limit=9) as outbox:
        row = "('session', 'frames', 'frame.line.camera', 0, '', 'a')"
        columns = "session, exchange, routing_key, checksum, headers, body"
        outbox._database.execute(f"INSERT INTO frames ({columns}) VALUES {row}, {row}")
        outbox._waiting["session"] = 2
        outbox._database.execute("PRAGMA query_only = ON")
        broken = outbox.after(0)
        assert broken
        outbox.set_aside(broken, "of an unknown version")
        following = outbox.after(0)
        assert following
        assert following.position == broken.position + 1
