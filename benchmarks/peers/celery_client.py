"""Send images as tasks of a module, say so, and print the answers: ``celery_client MODULE IMAGES COUNT``."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(module: str, folder: str, count: str) -> None:
    """Print the answers in the order of the images: when each was done, and its logits."""
    images = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    send = importlib.import_module(module).inspect.delay
    sent = [send(images[number % len(images)]) for number in range(int(count))]
    print("sent", flush=True)
    before = time.process_time()
    answers = [each.get(timeout=120) for each in sent]
    print(json.dumps({"answers": answers, "processor_seconds": time.process_time() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
