"""What a gateway knows of the checks of a line, and whether one is due by the recipe. No clock or file is used here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict

from shared.messages import CheckCause, DueCheck, LineChecked, Moment, Name
from shared.recipe import RequiredCheck
from shared.shifts import Shifts


class PassedCheck(BaseModel):
    """The last check of a line that passed, and what inspected its parts."""

    model_config = ConfigDict(frozen=True)

    check_id: Name
    recipe: Name | None
    model_versions: tuple[Name, ...]
    at: Moment

    def is_of(self, recipe: str, model_version: str) -> bool:
        """Return whether this model alone inspected the parts of the check."""
        return (self.recipe, self.model_versions) == (recipe, (model_version,))


class CheckHistory(BaseModel):
    """What inspects a line, and what became of its checks."""

    model_config = ConfigDict(frozen=True)

    recipe: Name | None = None
    """The recipe of the last verdict on the line; None before the first one."""
    model_version: Name | None = None
    required: RequiredCheck | None = None
    """The check that this recipe requires."""
    passed: PassedCheck | None = None
    changed_at: Moment | None = None
    """When another model than the one of the passed check first inspected a frame after that check."""
    failed_at: Moment | None = None
    """When the last check failed; None if it passed."""
    at: Moment
    """When this changed last."""

    def inspected(self, recipe: str, model_version: str, required: RequiredCheck | None, now: datetime) -> Self:
        """Return the history after a verdict by a model version; ``required`` is the check that its recipe requires."""
        is_other = self.passed is not None and not self.passed.is_of(recipe, model_version) and self.changed_at is None
        if (self.recipe, self.model_version) == (recipe, model_version) and not is_other:
            return self
        return self.model_copy(
            update={
                "recipe": recipe,
                "model_version": model_version,
                "required": required,
                "changed_at": now if is_other else self.changed_at,
                "at": now,
            }
        )

    def checked(self, record: LineChecked) -> Self:
        """Return the history after a check. One that could not be run proves nothing, and changes nothing."""
        if record.passed:
            passed = PassedCheck(
                check_id=record.check_id, recipe=record.recipe, model_versions=record.model_versions, at=record.at
            )
            changes = {"passed": passed, "changed_at": None, "failed_at": None, "at": record.at}
            return self.model_copy(update=changes)
        return self.model_copy(update={"failed_at": record.at, "at": record.at}) if record.parts else self


def due_check(history: CheckHistory | None, required: RequiredCheck, shifts: Shifts, now: datetime) -> DueCheck | None:
    """Return the check that is due; None if a check that passed is valid."""
    if history and history.failed_at:
        return DueCheck(cause=CheckCause.FAILED, since=history.failed_at)
    if history is None or history.passed is None:
        return DueCheck(cause=CheckCause.NEVER)
    if required.required != "shift" and history.changed_at:
        return DueCheck(cause=CheckCause.CHANGE, since=history.changed_at)
    passed = history.passed.at
    start = shifts.start(now)
    if required.required != "change" and passed < start - timedelta(minutes=required.early_minutes):
        return DueCheck(cause=CheckCause.SHIFT, since=start)
    if required.valid_hours and passed + (valid := timedelta(hours=required.valid_hours)) <= now:
        return DueCheck(cause=CheckCause.EXPIRED, since=passed + valid)
    return None
