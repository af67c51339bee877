"""Prometheus metrics of an explainer."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

FRAMES: Final = Counter("seamline_explainer_frames", "Frames explained or not", ["line", "outcome"])
BATCH: Final = Histogram("seamline_explainer_batch_frames", "Frames in a batch", buckets=(1, 2, 4, 8, 16, 32, 64))
STEP_SECONDS: Final = Histogram(
    "seamline_explainer_step_seconds",
    "One step of a batch: fetch, explain, store",
    ["step"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
