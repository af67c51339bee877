"""The messages of TensorFlow while it loads are suppressed, and no others."""

import logging
import os
import threading
from pathlib import Path

import pytest

from shared.engines.quiet import import_quietly

SLOW = "import time\ntime.sleep({seconds})\n"


def test_threads_that_import_at_once_leave_standard_error_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    threads = []
    for number in range(4):  # one that begins later ends later
        name = f"slow_to_import_{number}"
        (tmp_path / f"{name}.py").write_text(SLOW.format(seconds=0.1 * number))
        threads.append(threading.Thread(target=import_quietly, args=(name,)))
    kept, before = os.dup(2), os.fstat(2)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert os.path.samestat(os.fstat(2), before)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_tensorflow_logs_errors_alone() -> None:
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    import_quietly("keras")
    assert not logging.getLogger("tensorflow").isEnabledFor(logging.WARNING)
