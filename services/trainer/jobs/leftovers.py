"""What processes that were killed leave in the work folder: the images of their training, and nobody looks again."""

from __future__ import annotations

import shutil
from pathlib import Path

import structlog

from services.trainer.jobs.trainings import Trainings
from shared.storage.port import StorageUnavailable

_log = structlog.stdlib.get_logger("leftovers")


def clear(work_folder: Path, training_id: str) -> None:
    """Remove what there is of a training; what can't be removed stays."""
    shutil.rmtree(work_folder / training_id, ignore_errors=True)


def clear_ended(work_folder: Path, trainings: Trainings) -> None:
    """Remove what there is of trainings that have ended, and nothing else; not now while object storage is away."""
    try:
        ended = trainings.ended()
    except StorageUnavailable as error:
        _log.warning("will look for what trainings left behind at the next start", reason=str(error))
        return
    for training_id in ended:
        clear(work_folder, training_id)
