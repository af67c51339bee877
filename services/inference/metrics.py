"""Prometheus metrics of an inference worker."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

FRAMES: Final = Counter("seamline_inference_frames", "Frames inspected", ["line", "verdict"])
BATCH: Final = Histogram("seamline_inference_batch_frames", "Frames in a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
STEP_SECONDS: Final = Histogram(
    "seamline_inference_step_seconds",
    "One step of a batch: fetch, prepare, judge, store",
    ["step"],
    buckets=_BUCKETS,
)
LATENCY_SECONDS: Final = Histogram(
    "seamline_inference_latency_seconds",
    "Seconds from the capture of a frame to the verdict on it",
    buckets=(*_BUCKETS, 10.0, 60.0, 600.0),
)
IMAGES: Final = Counter("seamline_inference_images", "Images that had to be stored", ["outcome"])
MODEL_TROUBLE: Final = Gauge("seamline_inference_model_trouble", "1 while the model in production is not in use")
MODEL: Final = Gauge("seamline_inference_model", "1 for the model that judges", ["recipe", "version"])
