"""Requests that take minutes to measure, in object storage, so that no command waits behind one.

``measurements/<name>/`` holds ``request.json``, the message as it came, and ``claim.<number>.json``, the trainer that
measures. A job is deleted when it is done: its result is stored elsewhere.
"""

from __future__ import annotations

from typing import Final

from services.trainer.jobs.repository import REQUEST, JobRepository
from shared.messages import ComparisonRequested, PromotionRequested, ThresholdsRequested
from shared.storage.port import ObjectStore

FOLDER: Final = "measurements"

MeasurementJob = ComparisonRequested | PromotionRequested | ThresholdsRequested


class MeasurementJobs(JobRepository):
    """The measurement jobs, as one trainer sees them."""

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        super().__init__(store, FOLDER, holder, lease_seconds)

    def add(self, job: MeasurementJob) -> None:
        """Store a job. Of the same job requested twice, the later request stays."""
        before = self.find(name_of(job))
        if before is None or before.at < job.at:
            self.write(name_of(job), REQUEST, job)

    def open(self) -> list[MeasurementJob]:
        """Return the jobs that are not done, oldest first."""
        waiting = (name for name, records in self.records().items() if REQUEST in records)
        found = (job for name in waiting if (job := self.find(name)))
        return sorted(found, key=lambda job: job.at)

    def find(self, name: str) -> MeasurementJob | None:
        """Read a job; None where it is done, or a newer trainer stored it."""
        found = self.read_message(name, REQUEST)
        return found if isinstance(found, MeasurementJob) else None

    def finish(self, job: MeasurementJob) -> None:
        """Delete a job that is done; release it where it was requested again meanwhile: that request waits as well."""
        latest = self.find(name_of(job))
        if latest and latest.at > job.at:
            self.release(name_of(job))
        else:
            self.delete(name_of(job))


def name_of(job: MeasurementJob) -> str:
    """Return the name of a job, which is the same for a request that is delivered twice."""
    match job:
        case ComparisonRequested():
            return f"comparison.{job.recipe}.{job.baseline}.{job.candidate}"
        case PromotionRequested():
            return f"promotion.{job.recipe}.{job.promotion_id}"
        case ThresholdsRequested():
            return f"thresholds.{job.recipe}.{job.thresholds_id}"
