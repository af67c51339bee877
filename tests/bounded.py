"""A function of a test in a process of its own, bounded in memory and time: ``module:function``, with words for it."""

from __future__ import annotations

import importlib
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 1024 * 1024
ADDRESSES: Final = 3 * 1024 * MEBIBYTE
"""Bytes of addresses that the process gets on top of its own: far above what is measured, to protect the machine."""


def run_bounded(function: str, *words: str, growth: int, seconds: float) -> str:
    """Run a function; what it printed.

    Args:
        function: ``package.module:name``; it takes the words.
        words: for it.
        growth: mebibytes of memory that it may take while it runs, at its peak.
        seconds: of processor time that it may take.
    """
    command = [sys.executable, "-m", "tests.bounded", str(growth), str(seconds), function, *words]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def peak() -> int:
    """Bytes of the most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _main(growth: str, seconds: str, function: str, *words: str) -> None:
    module, name = function.split(":")
    call = getattr(importlib.import_module(module), name)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + ADDRESSES, has + ADDRESSES))
    before, busy = peak(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    call(*words)
    grown, took = (peak() - before) // MEBIBYTE, resource.getrusage(resource.RUSAGE_SELF).ru_utime - busy
    assert grown <= float(growth), f"took {grown} MiB, and may take {growth}"
    assert took <= float(seconds), f"took {took:.1f} s, and may take {seconds}"


if __name__ == "__main__":
    _main(*sys.argv[1:])
