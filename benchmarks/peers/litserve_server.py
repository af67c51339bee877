"""LitServe: batches of 16, and one process for each worker."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any

import litserve

from benchmarks.peers.network import BATCH, BATCH_SECONDS, network


class Inspection(litserve.LitAPI):  # type: ignore[misc]
    """Inspects batches of images."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the network."""
        network()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the image of a request."""
        return base64.b64decode(request["image"])

    def batch(self, inputs: Sequence[bytes]) -> Sequence[bytes]:
        """Return the images of a batch as they are."""
        return inputs

    def predict(self, x: Sequence[bytes]) -> list[list[float]]:
        """Return the logits of the images."""
        return network().logits(x)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """Return the logits as they are."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        """Return an answer."""
        return {"logits": output}


if __name__ == "__main__":
    api = Inspection(max_batch_size=BATCH, batch_timeout=BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["PEERS_WORKERS"]))
    server.run(host="127.0.0.1", port=int(os.environ["PEERS_PORT"]), generate_client_file=False, log_level="warning")
