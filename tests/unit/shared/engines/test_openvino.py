"""How a network runs beside the same network in other processes."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from shared.engines.openvino import OpenVinoEngine

MODEL = Path(__file__).parents[4] / "samples" / "model"


def test_no_thread_of_a_one_thread_network_is_pinned_to_a_core() -> None:
    allowed, tasks, seen = os.sched_getaffinity(0), Path("/proc/self/task"), set()
    before = {thread.name for thread in tasks.iterdir()} - {str(threading.get_native_id())}
    engine = OpenVinoEngine(
        (MODEL / "openvino_fp32.xml").read_bytes(), (MODEL / "openvino_fp32.bin").read_bytes(), threads=1
    )
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for name in {thread.name for thread in tasks.iterdir()} - before:
                with suppress(ProcessLookupError):
                    seen.add(frozenset(os.sched_getaffinity(int(name))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        engine.logits(np.zeros((16, 224, 224, 3), np.float32))
    done.set()
    watcher.join()
    assert seen == {frozenset(allowed)}
