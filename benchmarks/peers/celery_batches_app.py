"""Celery with celery-batches: up to 16 tasks are done at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from celery_batches import Batches

from benchmarks.peers.celery_app import app
from benchmarks.peers.network import BATCH, BATCH_SECONDS, network


@app.task(base=Batches, flush_every=BATCH, flush_interval=BATCH_SECONDS)  # type: ignore[untyped-decorator]
def inspect(requests: Sequence[Any]) -> None:
    """Store for each image when it was done, and its logits."""
    logits = network().logits([request.args[0] for request in requests])
    for request, row in zip(requests, logits, strict=True):
        app.backend.mark_as_done(request.id, (time.time(), row), request=request)
