"""Loops that run beside the main one of a service, in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def running_beside(stop: threading.Event, *loops: Callable[[], None]) -> Iterator[None]:
    """Run loops beside a block. When the block ends, ``stop`` is set and they are waited for.

    A loop that fails takes the service with it: ``stop`` is set at once, and its error is raised after the block.
    """

    def end(_loop: Future[None]) -> None:
        stop.set()

    with ThreadPoolExecutor(max(1, len(loops)), thread_name_prefix="beside") as threads:
        running = [threads.submit(loop) for loop in loops]
        for loop in running:
            loop.add_done_callback(end)
        try:
            yield
        finally:
            stop.set()
    for loop in running:
        loop.result()
