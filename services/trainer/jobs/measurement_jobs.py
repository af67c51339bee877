"""Measurement jobs in object storage: requests that take minutes, so that other commands do not wait for them.

``measurements/<name>/`` holds ``request.json``, the message as it came, and ``claim.<number>.json``, the trainer that
measures. A job is deleted when its result is stored.
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
        """Store a job. If the same job was requested before, the later request stays."""
        earlier = self.find(name_of(job))
        if earlier is None or earlier.at < job.at:
            self.write(name_of(job), REQUEST, job)

    def list_open(self) -> list[MeasurementJob]:
        """Return the jobs that are not done, oldest first."""
        names = (name for name, records in self.records().items() if REQUEST in records)
        jobs = (job for name in names if (job := self.find(name)))
        return sorted(jobs, key=lambda job: job.at)

    def find(self, name: str) -> MeasurementJob | None:
        """Read a job; None if it is done, or a newer trainer stored it in another form."""
        message = self.read_message(name, REQUEST)
        return message if isinstance(message, MeasurementJob) else None

    def finish(self, job: MeasurementJob) -> None:
        """Delete a job that is done; release it if it was requested again meanwhile, so that it runs again."""
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
