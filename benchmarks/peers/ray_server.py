"""Ray Serve: batches of 16, and one replica for each worker."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any, cast

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peers.network import BATCH, BATCH_SECONDS, network

WORKERS = int(os.environ["PEERS_WORKERS"])


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=4 * BATCH, ray_actor_options={"num_cpus": 1})
class Inspection:
    """Inspects batches of images."""

    def __init__(self) -> None:
        """Load the network."""
        network()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_SECONDS)  # type: ignore[untyped-decorator]
    async def inspect(self, images: list[bytes]) -> list[list[float]]:
        """Return the logits of images; the network runs beside the loop that takes requests."""
        return await asyncio.to_thread(network().logits, images)

    async def __call__(self, request: Request) -> JSONResponse:
        """Return the logits of the image that is the body of a request."""
        return JSONResponse(await self.inspect(await request.body()))


if __name__ == "__main__":
    ray.init(
        num_cpus=WORKERS + 1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.environ["PEERS_FOLDER"],
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEERS_PORT"])})
    serve.run(cast(Any, Inspection).bind(), route_prefix="/")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())  # Ray has set a handler of its own
    stopped.wait()
    ray.shutdown()
