"""The inference worker as a process of its own: frames in, verdicts out, over both brokers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import topology
from shared.messages import Verdict, WorkerReported
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.models import captured, paint_bundle, paint_recipe, painted, promote, promoted
from tests.workers import Line

COLOURS = ("black", "blue", "green", "red")
embedded = pytest.mark.parametrize("broker_address", ["sqlite"], indirect=True)


@pytest.fixture
def line(broker_address: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker_address, tmp_path)
    yield line
    line.broker.close()


@pytest.fixture
def store(line: Line) -> FilesystemStore:
    return FilesystemStore(line.objects)


@pytest.fixture
def reports(line: Line) -> Iterator[Collector[WorkerReported]]:
    with Collector(line.broker, topology.DASHBOARD_REPORTS, WorkerReported) as collector:
        yield collector


def test_every_frame_gets_one_verdict_and_the_queue_is_empty_after_it(line: Line, store: FilesystemStore) -> None:
    promote(store, paint_bundle("v1"))
    frames = [captured(number, painted(COLOURS[number % 4])) for number in range(40)]
    frames += [captured(40, b""), captured(41, b"no image")]
    with line.worker() as worker:
        line.send(*frames)
        answers = line.judged(42)
        worker.stop()
    assert [answer.frame for answer in answers] == [frame.frame for frame in frames]
    expected = [Verdict.OK, Verdict.NG, Verdict.NG, Verdict.OK] * 10 + [Verdict.ERROR] * 2
    assert [answer.verdict for answer in answers] == expected
    assert {answer.model_version for answer in answers} == {"v1"}
    kept = [answer.image_key for answer in answers if answer.image_key]
    assert sorted(store.keys("frames/")) == sorted(kept)
    assert len(kept) == 20
    for queue in (topology.INFERENCE_FRAMES, topology.INFERENCE_IMAGES):
        assert line.broker.depth(queue.name).total == line.broker.depth(queue.parked).total == 0


@embedded
def test_frames_wait_in_the_queue_until_a_model_is_promoted(
    line: Line, store: FilesystemStore, reports: Collector[WorkerReported]
) -> None:
    line.send(*[captured(number, painted("blue")) for number in range(5)])
    with line.worker():
        waiting = reports.until(lambda received: any("train one and promote it" in one.reason for one in received))[-1]
        assert waiting.model_version is None
        assert line.verdicts.messages == []
        promote(store, paint_bundle("v1"))
        line.send(promoted("paint", "v1"))
        line.judged(5)
        well = reports.until(lambda received: received[-1].handled == 5)[-1]
    assert well.model_version == "v1"
    assert well.reason == ""
    assert (well.service, well.recipe) == ("inference", "paint")
    assert well.host
    assert well.worker.startswith(f"{well.host}-")
    assert well.started_at
    assert well.started_at <= well.at
    assert well.messages_per_second >= 0


def test_a_model_is_swapped_under_load_and_no_frame_is_lost(line: Line, store: FilesystemStore) -> None:
    promote(store, paint_bundle("v1"))
    swapped = threading.Event()
    sent: list[int] = []

    def video() -> None:
        publisher = line.broker.publisher()
        while not (swapped.is_set() and len(sent) % 50 == 0) and len(sent) < 20_000:
            publisher.publish(captured(len(sent), painted(COLOURS[len(sent) % 4]))).result(60)
            sent.append(len(sent))
        publisher.close()

    camera = threading.Thread(target=video)
    with line.worker():
        camera.start()
        line.judged(50)
        promote(store, paint_bundle("v2"))
        line.send(promoted("paint", "v2"))
        line.verdicts.until(lambda received: any(one.model_version == "v2" for one in received))
        swapped.set()
        camera.join()
        answers = line.judged(len(sent))
    versions = [answer.model_version for answer in answers]
    assert versions == sorted(versions)
    assert Counter(answer.frame.sequence for answer in answers) == Counter(sent)
    assert [answer.verdict for answer in answers] == [
        Verdict.NG if number % 4 in (1, 2) else Verdict.OK for number in sent
    ]


@embedded
def test_recipes_change_within_a_stream_and_a_worker_dies_and_each_frame_is_inspected_by_the_one_it_names(
    line: Line, store: FilesystemStore
) -> None:
    promote(store, paint_bundle("paint-1"))
    promote(store, paint_bundle("bolt-1", recipe=paint_recipe(name="bolt")))
    recipes = ["paint"] * 30 + ["bolt"] * 40 + ["nut"] * 5 + ["paint", "bolt"] * 20 + [None] * 5
    frames = [captured(number, painted("blue"), recipe=recipe) for number, recipe in enumerate(recipes)]
    with line.worker() as worker:
        line.send(*frames[:40])
        line.judged(20)
        line.send(*frames[40:])
        worker.kill()
    with line.worker() as worker:
        answers = line.judged(len(frames))
        worker.stop()
    found = {answer.frame.sequence: (answer.verdict, answer.model_version) for answer in answers}
    assert found == {
        number: (Verdict.ERROR, "paint-1") if recipe == "nut" else (Verdict.NG, f"{recipe or 'paint'}-1")
        for number, recipe in enumerate(recipes)
    }
    for queue in (topology.INFERENCE_FRAMES, topology.INFERENCE_IMAGES):
        assert line.broker.depth(queue.name).total == line.broker.depth(queue.parked).total == 0


@embedded
def test_a_broken_model_is_reported_and_the_old_one_goes_on(
    line: Line, store: FilesystemStore, reports: Collector[WorkerReported]
) -> None:
    promote(store, paint_bundle("v1"))
    with line.worker():
        reports.until(lambda received: bool(received) and received[-1].model_version == "v1")
        promote(store, paint_bundle("v2"))
        store.put("models/paint/v2/openvino_fp32.bin", b"changed on the way")
        line.send(promoted("paint", "v2"))
        received = reports.until(lambda received: bool(received[-1].reason))[-1]
        line.send(captured(0, painted("blue")))
        (answer,) = line.judged(1)
    assert "openvino_fp32.bin has changed since it was made" in received.reason
    assert received.model_version == answer.model_version == "v1"


@embedded
def test_a_stop_finishes_the_batch_and_gives_the_rest_back(line: Line, store: FilesystemStore) -> None:
    promote(store, paint_bundle("v1"))
    line.send(*[captured(number, painted("blue")) for number in range(300)])
    with line.worker() as worker:
        line.judged(8)
        worker.stop()
    some = len(line.verdicts.for_a_while(1))
    assert line.broker.depth(topology.INFERENCE_FRAMES.name).ready == 300 - some
    with line.worker():
        assert len(line.judged(300)) == 300
