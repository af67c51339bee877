"""Inspection goes on: without object storage, with workers killed, with an image that kills its decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import topology
from shared.imaging.codec import encode
from shared.messages import FrameCaptured, Verdict
from shared.settings import ServiceSettings
from shared.storage.filesystem import FilesystemStore
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from tests import servers
from tests.broker_address import BrokerAddress
from tests.conftest import Bucket
from tests.models import captured, paint_bundle, painted, promote
from tests.processes import Server, wait_until
from tests.workers import Line, numbers

POISON = b"\x89PNG poison"
DIES_OF_POISON = f"""
import os
from shared.imaging import codec
decode = codec.decode
codec.decode = lambda content, *limit: os._exit(139) if content == {POISON!r} else decode(content, *limit)
"""

SLOW_AFTER_FORTY = """
import itertools, time
from shared.imaging import codec
decode, images = codec.decode, itertools.count()
codec.decode = lambda *arguments: (next(images) >= 40 and time.sleep(600)) or decode(*arguments)
"""
"""Holds frames for as long as it lives."""


@pytest.fixture
def line(broker_address: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker_address, tmp_path)
    yield line
    line.broker.close()


@pytest.fixture
def private_s3(tmp_path: Path) -> Iterator[tuple[Bucket, Server]]:
    endpoint, server = servers.start_s3(tmp_path / "s3")
    yield Bucket(endpoint, "seamline"), server
    server.remove()


def _open(bucket: Bucket) -> ObjectStore:
    return open_store(
        ServiceSettings(
            storage_url=bucket.url, storage_access_key=bucket.access_key, storage_secret_key=bucket.secret_key
        )
    )


@pytest.mark.parametrize(
    ("broker_address", "how"),
    [("sqlite", "stop"), ("sqlite", "pause"), ("rabbitmq", "stop")],
    indirect=["broker_address"],
)
def test_while_storage_is_away_verdicts_flow_at_speed_and_the_images_arrive_later(
    line: Line, private_s3: tuple[Bucket, Server], how: str
) -> None:
    line.bucket, server = private_s3
    store = _open(line.bucket)
    promote(store, paint_bundle("v1"))
    large = encode(painted("green"), "png")
    frames = [captured(number, painted("blue" if number % 2 else "black")) for number in range(101)]
    frames[51] = captured(51, b"", stored_as="large.png")
    store.put(frames[51].image_key or "", large)
    with line.worker(STORAGE_PAUSE_SECONDS="1", STORAGE_WAIT_SECONDS="2"):
        line.send(frames[0])
        line.judged(1)

        getattr(server, how)()
        began = time.monotonic()
        line.send(*frames[1:])
        answers = line.judged(100)
        assert time.monotonic() - began < 100, "each frame waited for a storage that is away"
        assert numbers(answers) == set(range(101)) - {51}

        getattr(server, {"stop": "start", "pause": "resume"}[how])()
        kept = {answer.frame.sequence: answer.image_key for answer in line.judged(101) if answer.flagged}
        assert sorted(kept) == list(range(1, 101, 2))
        waiting = topology.INFERENCE_IMAGES.name
        wait_until(lambda: line.broker.depth(waiting).total == 0, 200, "the images to be kept")
    for number, key in kept.items():
        assert key
        assert store.get(key) == (frames[number].image or large)


def test_frames_of_a_killed_worker_are_inspected_by_another(line: Line) -> None:
    promote(FilesystemStore(line.objects), paint_bundle("v1"))
    with line.worker(code=SLOW_AFTER_FORTY) as first:
        line.send(*[captured(number, painted("blue")) for number in range(200)])
        line.judged(20)
        first.kill()
        assert len(line.verdicts.messages) < 200
        with line.worker():
            answers = line.judged(200)
    assert {answer.verdict for answer in answers} == {Verdict.NG}


@pytest.mark.parametrize("broker_address", ["rabbitmq"], indirect=True)
def test_a_poison_frame_is_parked_and_its_neighbours_are_inspected(line: Line) -> None:
    promote(FilesystemStore(line.objects), paint_bundle("v1"))
    frames: list[FrameCaptured] = [captured(number, painted("black")) for number in range(20)]
    frames[7] = captured(7, POISON)
    line.send(*frames)
    for _ in range(8):
        with line.worker(code=DIES_OF_POISON) as worker:
            wait_until(lambda: not worker.alive() or _is_over(line), 200, "the poison to be looked at")
            if _is_over(line):
                break
    answers = line.judged(19)
    assert numbers(answers) == set(range(20)) - {7}
    assert {answer.verdict for answer in answers} == {Verdict.OK}
    assert line.broker.depth(topology.INFERENCE_FRAMES.parked).total == 1


def _is_over(line: Line) -> bool:
    frames = topology.INFERENCE_FRAMES
    left = [line.broker.depth(queue).total for queue in (frames.name, frames.suspects)]
    return line.broker.depth(frames.parked).total == 1 and not any(left)
