"""The state machine of a vision system, by OPC 40100-1. Nothing here knows the network or reads a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The states, by their names in the specification. The last four are those of *Operational*."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE_EXECUTION = "SingleExecution"
    CONTINUOUS_EXECUTION = "ContinuousExecution"

    @property
    def is_operational(self) -> bool:
        """Whether the automatic mode is active."""
        return self in (State.INITIALIZED, State.READY) or self.is_executing

    @property
    def is_executing(self) -> bool:
        """Whether a job runs, so that decisions are results."""
        return self in (State.SINGLE_EXECUTION, State.CONTINUOUS_EXECUTION)


OPERATIONAL: Final = "Operational"
AUTO: Final = "Auto"
"""The cause of a transition that no client has asked for."""


class NotAllowed(Exception):
    """The state does not allow a method."""


class UnknownRecipe(Exception):
    """A recipe can't inspect the line, or is not prepared."""


@dataclass(frozen=True)
class Transition:
    """A change of the state."""

    source: State
    target: State
    cause: str = ""
    """The end of its name in the specification: ``Auto``, ``Recipe``, ``Stop``, ``Abort``, or nothing."""

    @property
    def name(self) -> str:
        """The name in the specification, such as ``ReadyToSingleExecution`` or ``OperationalToErrorAuto``."""
        inner = self.source.is_operational and self.target.is_operational
        source, target = (each if inner or not each.is_operational else OPERATIONAL for each in self.states)
        return f"{source}To{target}{self.cause}"

    @property
    def states(self) -> tuple[State, State]:
        """The state before and the state after."""
        return self.source, self.target


@dataclass(frozen=True)
class Job:
    """What a client has started; each result belongs to one."""

    id: str
    started_at: datetime
    by_client: bool = True
    meas_id: str = ""
    part_id: str = ""
    recipe_id: str = ""
    product_id: str = ""


@dataclass
class VisionSystem:
    """The states of one line. Each method returns the transitions that it made, or raises `NotAllowed`."""

    automatic: bool = False
    """Whether the system goes to *ContinuousExecution* by itself while its line inspects parts."""
    state: State = State.PREOPERATIONAL
    trouble: str = ""
    """Why the line does not inspect parts; empty if it does."""
    check_due: str = ""
    """Why a check of the line is due, so that no job starts; empty if none is due."""
    recipes: tuple[str, ...] = ()
    """The recipes that may be prepared."""
    inspecting: tuple[str, ...] = ()
    """The recipes of which one inspects the line; empty: it is not known."""
    prepared: list[str] = field(default_factory=list)
    job: Job | None = None

    def halt(self) -> Sequence[Transition]:
        """Stop for good: only a reset leads out of *Halted*."""
        if self.state is State.HALTED:
            raise NotAllowed("the vision system is halted already")
        return self._go(State.HALTED)

    def reset(self) -> Sequence[Transition]:
        """Begin again, from any other state."""
        if self.state is State.PREOPERATIONAL:
            raise NotAllowed("the vision system is preoperational already")
        return self._go(State.PREOPERATIONAL)

    def select_mode_automatic(self) -> Sequence[Transition]:
        """Go to *Operational*."""
        self._require("SelectModeAutomatic", State.PREOPERATIONAL)
        if self.trouble:
            raise NotAllowed(f"the line does not inspect parts: {self.trouble}")
        return self._go(State.INITIALIZED)

    def prepare_recipe(self, recipe: str, cause: str = "Recipe") -> Sequence[Transition]:
        """Prepare a recipe, which must be one that can inspect the line."""
        self.check_prepare(recipe)
        if recipe not in self.prepared:
            self.prepared.append(recipe)
        return self._go(State.READY, cause) if self.state is State.INITIALIZED else ()

    def check_prepare(self, recipe: str) -> None:
        """Check that a recipe can be prepared now."""
        self._require("PrepareRecipe", State.INITIALIZED, State.READY)
        if self.check_due:
            raise NotAllowed(self.check_due)
        if recipe not in self.recipes:
            known = ", ".join(self.recipes) or "none so far"
            raise UnknownRecipe(f"the line can't be inspected by the recipe {recipe!r}, but by: {known}")

    def unprepare_recipe(self, recipe: str) -> Sequence[Transition]:
        """Give up a recipe; without one, the system is not ready."""
        self._require("UnprepareRecipe", State.READY)
        if recipe not in self.prepared:
            raise UnknownRecipe(f"the recipe {recipe!r} is not prepared")
        self.prepared.remove(recipe)
        return () if self.prepared else self._go(State.INITIALIZED, "Recipe")

    def start(self, job: Job, *, single: bool) -> Sequence[Transition]:
        """Start a job: of one result, or of all results until it is stopped."""
        self.check_start("StartSingleJob" if single else "StartContinuous", job.recipe_id)
        self.job = job
        return self._go(State.SINGLE_EXECUTION if single else State.CONTINUOUS_EXECUTION)

    def check_start(self, method: str, recipe: str) -> None:
        """Check that a job can be started now, by a recipe that is prepared; empty: by that of the line."""
        self._require(method, State.READY)
        if self.check_due:
            raise NotAllowed(self.check_due)
        if recipe and recipe not in self.prepared:
            raise UnknownRecipe(f"the recipe {recipe!r} is not prepared")
        if not recipe and self.inspecting and not set(self.inspecting) & set(self.prepared):
            raise UnknownRecipe(f"the recipe of the line is not prepared: {', '.join(self.inspecting)}")

    def end(self, method: str) -> Sequence[Transition]:
        """End the job by a method, ``Stop`` or ``Abort``."""
        self._require(method, State.SINGLE_EXECUTION, State.CONTINUOUS_EXECUTION)
        return self._go(State.READY, method)

    def finish(self) -> Sequence[Transition]:
        """End a job of one result, which has it."""
        return self._go(State.READY, AUTO) if self.state is State.SINGLE_EXECUTION else ()

    def follow(
        self,
        trouble: str,
        recipes: Sequence[str],
        new_job: Job,
        check_due: str = "",
        inspecting: Sequence[str] = (),
    ) -> Sequence[Transition]:
        """Follow the line: to *Error* and back, by the recipes that inspect it, and by the check that is due.

        A job that runs when a check becomes due continues until it ends.

        Args:
            trouble: why the line does not inspect parts; empty if it does.
            recipes: the recipes that may be prepared.
            new_job: the job to start by itself, where the system is automatic.
            check_due: why a check of the line is due; empty if none is.
            inspecting: the recipes of which one inspects the line; empty: any of ``recipes``.
        """
        self.trouble, self.check_due = trouble, check_due
        self.recipes, self.inspecting = tuple(recipes), tuple(inspecting)
        self.prepared = [recipe for recipe in self.prepared if recipe in self.recipes]
        if self.state.is_executing and self.inspecting and not set(self.inspecting) & set(self.prepared):
            self.prepared.clear()
        if self.state is State.HALTED:
            return ()
        if trouble:
            return () if self.state is State.ERROR else self._go(State.ERROR, AUTO)
        made: list[Transition] = []
        if self.state is State.ERROR:
            made += self._go(State.PREOPERATIONAL, AUTO)
        if self.state.is_executing and not self.prepared:
            made += self._go(State.READY, AUTO)
        if self.state is State.READY and (check_due or not self.prepared):
            self.prepared.clear()
            made += self._go(State.INITIALIZED, AUTO)
        if self.automatic:
            made += self._advance(new_job)
        return made

    def _advance(self, job: Job) -> Sequence[Transition]:
        """Go on to *ContinuousExecution* as far as that is possible."""
        made: list[Transition] = []
        if self.state is State.PREOPERATIONAL:
            made += self._go(State.INITIALIZED, AUTO)
        if self.state is State.INITIALIZED and self.recipes and not self.check_due:
            made += self.prepare_recipe(self.recipes[0], AUTO)
        if self.state is State.READY:
            self.job = job
            made += self._go(State.CONTINUOUS_EXECUTION, AUTO)
        return made

    def _require(self, method: str, *states: State) -> None:
        if self.state not in states:
            raise NotAllowed(f"{method} is not allowed in the state {self.state}, but in: {', '.join(states)}")

    def _go(self, target: State, cause: str = "") -> Sequence[Transition]:
        made = Transition(self.state, target, cause)
        self.state = target
        if not target.is_executing:
            self.job = None
        if not target.is_operational:
            self.prepared.clear()
        return (made,)
