"""Delete the work folders of trainings that have ended, including those whose process was killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import structlog

from services.trainer.jobs.trainings import Trainings
from shared.storage.port import StorageUnavailable

_log = structlog.stdlib.get_logger("work-folders")


def delete_work_folder(work_folder: Path, training_id: str) -> None:
    """Delete the files of a training; a file that can't be deleted stays."""
    shutil.rmtree(work_folder / training_id, ignore_errors=True)


def delete_ended_work_folders(work_folder: Path, trainings: Trainings) -> None:
    """Delete the files of ended trainings. If object storage is unavailable, the next start deletes them."""
    try:
        ended_ids = trainings.ended_ids()
    except StorageUnavailable as error:
        _log.warning("could not list ended trainings; the next start deletes their files", reason=str(error))
        return
    for training_id in ended_ids:
        delete_work_folder(work_folder, training_id)
