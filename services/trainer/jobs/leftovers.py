"""Delete what processes that were killed leave in the work folder: the images of their training."""

from __future__ import annotations

import shutil
from pathlib import Path

import structlog

from services.trainer.jobs.trainings import Trainings
from shared.storage.port import StorageUnavailable

_log = structlog.stdlib.get_logger("leftovers")


def clear(work_folder: Path, training_id: str) -> None:
    """Delete the files of a training; a file that can't be deleted stays."""
    shutil.rmtree(work_folder / training_id, ignore_errors=True)


def clear_ended(work_folder: Path, trainings: Trainings) -> None:
    """Delete the files of trainings that have ended; at the next start if object storage is away."""
    try:
        ended = trainings.ended()
    except StorageUnavailable as error:
        _log.warning("will delete the files of ended trainings at the next start", reason=str(error))
        return
    for training_id in ended:
        clear(work_folder, training_id)
