"""The network of a model, for the peers: decode, prepare and infer as an inference worker does.

It runs in the environment of a peer, and so imports no package of Seamline.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would report over the internet

import openvino  # noqa: E402

BATCH = 16
"""Most images that a peer puts into one run of the network."""
BATCH_SECONDS = 0.02
"""How long a batch waits for further images; while a benchmark runs, there are always enough."""


class Network:
    """A network on one thread that is not pinned to a core."""

    def __init__(self, file: Path, side: int) -> None:
        """Load a network of OpenVINO, whose images are ``side`` pixels high and wide."""
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._side = side
        self._request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
        for images in range(1, BATCH + 1):  # OpenVINO prepares each size of batch at its first use
            self._request.infer(np.zeros((images, side, side, 3), np.float32))

    def logits(self, images: Sequence[bytes]) -> list[list[float]]:
        """Return the logits of each image, given as JPEG."""
        batch = np.stack([self._prepare(image) for image in images])
        return [[float(value) for value in row] for row in self._request.infer(batch, share_inputs=True)[0]]

    def _prepare(self, image: bytes) -> NDArray[np.float32]:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ValueError("not an image")
        scaled = cv2.resize(pixels, (self._side, self._side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB), np.float32) / np.float32(255)


@cache
def network() -> Network:
    """Return the network of this process."""
    cv2.setNumThreads(1)
    return Network(Path(os.environ["PEERS_NETWORK"]), int(os.environ["PEERS_SIDE"]))
