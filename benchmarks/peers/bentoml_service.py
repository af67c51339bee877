"""BentoML: adaptive batches of up to 16, and one process for each worker."""

from __future__ import annotations

import base64
import os

import bentoml

from benchmarks.peers.network import BATCH, network


@bentoml.service(workers=int(os.environ["PEERS_WORKERS"]), traffic={"timeout": 300, "max_concurrency": 256})
class Inspection:
    """Inspects batches of images."""

    def __init__(self) -> None:
        """Load the network."""
        network()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=10_000)  # type: ignore[untyped-decorator]
    def inspect(self, image: list[str]) -> list[list[float]]:
        """Return the logits of images in base64."""
        return network().logits([base64.b64decode(one) for one in image])
