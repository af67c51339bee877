"""Drawn seams through inference and explainer, with the model that the demo ships, over the embedded broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samples.still import draw_seam
from services.explainer.handler import Explainer
from services.explainer.image_store import ImageStore as ExplainerImageStore
from services.explainer.loading import load_model as load_probe
from services.explainer.models import Models
from services.inference.handler import Inspector
from services.inference.image_store import ImageStore
from services.inference.live_images import LiveImages
from services.inference.model import load_model
from shared import topology
from shared.contracts.bundle import read_bundle_folder, write_bundle
from shared.explain.metrics import dilated
from shared.messages import FrameExplained, FrameInspected, Message, decode
from shared.messaging.port import Broker
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from tests.inspection import OneModel
from tests.models import captured

pytestmark = pytest.mark.xdist_group("tensorflow")
SAMPLE = Path(__file__).parents[2] / "samples" / "model"
BROKEN = range(0, 20, 3)
TOLERANCE = 0.05
"""Of the image's side: so far beside the drawn mask a peak may lie."""


def _turn(broker: Broker, queue: topology.Queue, handle: Callable[[list[Message]], Sequence[Message]]) -> list[Message]:
    """What waits in a queue goes through a handler, and what follows goes on its way."""
    subscription, publisher = broker.subscribe(queue, prefetch=100), broker.publisher()
    deliveries = subscription.receive(100, 60.0)
    answers = list(handle([decode(delivery.body) for delivery in deliveries]))
    for confirmed in [publisher.publish(answer) for answer in answers]:
        confirmed.result(60)
    subscription.acknowledge(deliveries)
    subscription.close()
    publisher.close()
    return answers


def test_a_drawn_break_is_flagged_and_the_peak_of_its_heatmap_lies_within_the_drawn_mask(tmp_path: Path) -> None:
    store, bundle = FilesystemStore(tmp_path / "objects"), read_bundle_folder(SAMPLE)
    write_bundle(store, bundle.manifest, bundle.files)
    seams = {number: draw_seam(number, defects={"break"}) for number in BROKEN}
    model = load_model(bundle, "openvino", threads=1, largest_batch=len(seams))
    inspector = Inspector(OneModel(model), ImageStore(store, wait_seconds=30, pause_seconds=60), LiveImages(store, 0))
    explainer = Explainer(Models(store, 1, load_probe), ExplainerImageStore(store, image_wait_seconds=0))
    broker = SqliteBroker(tmp_path / "broker")
    publisher = broker.publisher()
    for number, seam in seams.items():
        publisher.publish(captured(number, seam.image)).result(60)

    judged = _turn(broker, topology.INFERENCE_FRAMES, lambda frames: inspector.inspect(frames).result(60))
    explained = _turn(broker, topology.EXPLAINER_FLAGGED, explainer.explain)
    broker.close()

    found = {
        verdict.frame.sequence
        for verdict in judged
        if isinstance(verdict, FrameInspected) and verdict.flagged and verdict.findings["break"].fault
    }
    assert len(found) >= 5, "of seven drawn breaks"
    hits = {
        answer.frame.sequence: _within(answer.heatmaps["break"].peak, seams[answer.frame.sequence].truth.masks["break"])
        for answer in explained
        if isinstance(answer, FrameExplained) and answer.frame.sequence in found
    }
    assert set(hits) == found
    assert sum(hits.values()) >= len(found) - 1, hits


def _within(peak: tuple[int, int] | None, mask: NDArray[np.uint8]) -> bool:
    return peak is not None and bool(dilated(mask > 0, TOLERANCE)[peak[1], peak[0]])
