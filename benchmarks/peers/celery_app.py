"""Celery: an image is a task, acknowledged after it is done, with a result; one process for each worker."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers.network import BATCH, network

app = Celery("peer", broker=os.environ["PEERS_BROKER"], backend="rpc://")
app.conf.update(
    accept_content=["pickle", "json"],
    task_serializer="pickle",  # the image as bytes, without base64
    task_acks_late=True,
    worker_prefetch_multiplier=4 * BATCH,
    broker_connection_retry_on_startup=True,
)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def load(**_: object) -> None:
    """Load the network before the first task."""
    network()


@app.task  # type: ignore[untyped-decorator]
def inspect(image: bytes) -> tuple[float, list[float]]:
    """Return when an image was done, and its logits."""
    logits = network().logits([image])[0]
    return time.time(), logits
