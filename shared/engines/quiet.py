"""Import TensorFlow without the messages that it writes while it loads, and without its advice to programmers."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from types import ModuleType
from typing import Final

ENVIRONMENT: Final = {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow"}
_ONE_AT_A_TIME: Final = threading.RLock()
"""Two concurrent imports would each restore the redirected descriptor of the other."""


def import_quietly(name: str) -> ModuleType:
    """Import a module that imports TensorFlow.

    While TensorFlow loads, it writes to the file descriptor of standard error and ignores its own settings, so the
    descriptor is redirected meanwhile. Errors are raised as usual. Later it logs errors alone: its warnings are about
    how its functions are called.
    """
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    with _ONE_AT_A_TIME:
        sys.stderr.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            module = importlib.import_module(name)
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
            return module
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
