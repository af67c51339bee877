"""Measure a comparison or a threshold set, in the child process that `services.trainer.jobs.measurer` starts."""

from __future__ import annotations

from services.trainer.errors import TrainerError
from services.trainer.jobs.child import (
    COMPARISON,
    THRESHOLDS,
    Failed,
    Finished,
    Postponed,
    Reported,
    end_with_parent,
    report,
)
from services.trainer.jobs.measurement_jobs import MeasurementJobs
from services.trainer.jobs.threshold_results import store_result
from services.trainer.measuring.compare import compare
from services.trainer.measuring.threshold_sets import set_thresholds
from services.trainer.settings import TrainerSettings
from shared.contracts.bundle import BundleError
from shared.datasets.tables import DatasetError
from shared.messages import ThresholdsRequested
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageUnavailable


def run(command: list[str], settings: TrainerSettings) -> None:
    """Run a measurement, and report its end to the parent process."""
    end_with_parent()
    report(measure(open_store(settings), *command))


def measure(store: ObjectStore, *command: str) -> Reported:
    """Measure, and store the result.

    Args:
        store: object storage.
        command: ``comparison RECIPE BASELINE CANDIDATE``, or ``thresholds JOB`` with the name of a measurement job.
    """
    try:
        if command[:1] == (COMPARISON,) and len(command) == 4:
            compare(store, *command[1:])  # it stores the comparison
        elif command[:1] == (THRESHOLDS,) and len(command) == 2:
            jobs = MeasurementJobs(store, holder="", lease_seconds=0)  # only reads, so it needs no claim
            job = jobs.find(command[1])
            if isinstance(job, ThresholdsRequested):  # None if another trainer has finished the job
                store_result(store, set_thresholds(job, store))
        else:
            return Failed(reason=f"{' '.join(command)!r} can't be measured")
    except (TrainerError, DatasetError, BundleError) as error:
        return Failed(reason=str(error))
    except StorageUnavailable as error:
        return Postponed(reason=str(error))
    return Finished()
