"""Measure one thing in the child process that `services.trainer.jobs.measurer` starts."""

from __future__ import annotations

from services.trainer.errors import TrainerError
from services.trainer.jobs.answers import store_answer
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
from services.trainer.measuring.compare import compare
from services.trainer.measuring.threshold_sets import set_thresholds
from services.trainer.settings import TrainerSettings
from shared.contracts.bundle import BundleError
from shared.datasets.tables import DatasetError
from shared.messages import ThresholdsRequested
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageUnavailable


def run(command: list[str], settings: TrainerSettings) -> None:
    """Measure, and report how it ended."""
    end_with_parent()
    report(measure(open_store(settings), *command))


def measure(store: ObjectStore, *command: str) -> Reported:
    """Measure and store the result.

    Args:
        store: object storage.
        command: ``comparison``, a recipe and two model versions; or ``thresholds`` and the name of a measurement job.
    """
    try:
        match command:
            case (str(what), recipe, baseline, candidate) if what == COMPARISON:
                compare(store, recipe, baseline, candidate)
            case (str(what), name) if what == THRESHOLDS:
                job = MeasurementJobs(store, holder="", lease_seconds=0).find(name)
                if isinstance(job, ThresholdsRequested):  # else another trainer has done it
                    store_answer(store, set_thresholds(job, store))
            case _:
                return Failed(reason=f"{' '.join(command)!r} can't be measured")
    except (TrainerError, DatasetError, BundleError) as error:
        return Failed(reason=str(error))
    except StorageUnavailable as error:
        return Postponed(reason=str(error))
    return Finished()
