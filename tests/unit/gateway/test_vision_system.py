"""The state machine of OPC 40100-1: what each state allows, and how it follows the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree

import pytest

from services.gateway.outputs.opcua.state_machine import (
    Job,
    NotAllowed,
    State,
    Transition,
    UnknownRecipe,
    VisionSystem,
)
from services.gateway.outputs.settings import NODESET

JOB: Final = Job("job-1", datetime(2026, 1, 31, tzinfo=UTC))
DUE: Final = "a check is due"
METHODS: Final[dict[str, Callable[[VisionSystem], Sequence[Transition]]]] = {
    "Halt": VisionSystem.halt,
    "Reset": VisionSystem.reset,
    "SelectModeAutomatic": VisionSystem.select_mode_automatic,
    "PrepareRecipe": lambda system: system.prepare_recipe("seam"),
    "UnprepareRecipe": lambda system: system.unprepare_recipe("seam"),
    "StartSingleJob": lambda system: system.start(JOB, single=True),
    "StartContinuous": lambda system: system.start(JOB, single=False),
    "Stop": lambda system: system.end("Stop"),
    "Abort": lambda system: system.end("Abort"),
}
ALLOWED: Final = {
    State.PREOPERATIONAL: {"Halt": "PreoperationalToHalted", "SelectModeAutomatic": "PreoperationalToOperational"},
    State.HALTED: {"Reset": "HaltedToPreoperational"},
    State.ERROR: {"Halt": "ErrorToHalted", "Reset": "ErrorToPreoperational"},
    State.INITIALIZED: {"PrepareRecipe": "InitializedToReadyRecipe"},
    State.READY: {
        "PrepareRecipe": "",
        "UnprepareRecipe": "ReadyToInitializedRecipe",
        "StartSingleJob": "ReadyToSingleExecution",
        "StartContinuous": "ReadyToContinuousExecution",
    },
    State.SINGLE_EXECUTION: {"Stop": "SingleExecutionToReadyStop", "Abort": "SingleExecutionToReadyAbort"},
    State.CONTINUOUS_EXECUTION: {
        "Stop": "ContinuousExecutionToReadyStop",
        "Abort": "ContinuousExecutionToReadyAbort",
    },
}
OF_OPERATIONAL: Final = {"Halt": "OperationalToHalted", "Reset": "OperationalToPreoperational"}


def system_in(state: State, *, automatic: bool = False) -> VisionSystem:
    system = VisionSystem(automatic, state, recipes=("seam",))
    if state.is_operational and state is not State.INITIALIZED:
        system.prepared.append("seam")
    if state.is_executing:
        system.job = JOB
    return system


def names(transitions: Sequence[Transition]) -> list[str]:
    return [transition.name for transition in transitions]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("method", METHODS)
def test_a_state_allows_the_methods_of_the_specification_and_no_others(state: State, method: str) -> None:
    system = system_in(state)
    allowed = {**ALLOWED[state], **(OF_OPERATIONAL if state.is_operational else {})}
    if method not in allowed:
        with pytest.raises(NotAllowed):
            METHODS[method](system)
        assert system.state is state
        return
    made = METHODS[method](system)
    assert names(made) == ([allowed[method]] if allowed[method] else [])
    assert system.state is (made[-1].target if made else state)
    assert (system.job is not None) is system.state.is_executing


def test_every_transition_is_one_of_the_nodeset() -> None:
    known = {element.get("BrowseName", "").partition(":")[2] for element in ElementTree.parse(NODESET).iter()}
    made = [name for allowed in (*ALLOWED.values(), OF_OPERATIONAL) for name in allowed.values() if name]
    for state in State:
        for automatic in (False, True):
            for trouble, recipes in (("the camera is silent", ("seam",)), ("", ("seam",)), ("", ())):
                for check_due in ("", DUE):
                    made += names(system_in(state, automatic=automatic).follow(trouble, recipes, JOB, check_due))
    made += names(system_in(State.SINGLE_EXECUTION).finish())
    assert not [name for name in made if name not in known]


@pytest.mark.parametrize("state", [state for state in State if state is not State.HALTED])
def test_a_line_in_trouble_leads_to_error_and_back_to_preoperational(state: State) -> None:
    system = system_in(state)
    system.follow("camera front: silent for 2 s", ["seam"], JOB)
    assert (system.state, system.job, system.prepared) == (State.ERROR, None, [])
    with pytest.raises(NotAllowed):
        system.select_mode_automatic()
    system.follow("", ["seam"], JOB)
    assert system.state is State.PREOPERATIONAL


def test_a_halted_system_stays_halted_whatever_the_line_does() -> None:
    system = system_in(State.HALTED, automatic=True)
    assert not system.follow("camera front: silent for 2 s", ["seam"], JOB)
    assert not system.follow("", ["seam"], JOB)
    assert system.state is State.HALTED


def test_an_automatic_system_executes_as_soon_as_its_line_does() -> None:
    system = system_in(State.PREOPERATIONAL, automatic=True)
    system.follow("", [], JOB)
    assert system.state is State.INITIALIZED
    system.follow("", ["seam"], JOB)
    assert (system.state, system.job) == (State.CONTINUOUS_EXECUTION, JOB)


def test_no_job_starts_while_a_check_is_due_and_one_that_runs_continues() -> None:
    system = system_in(State.READY)
    assert names(system.follow("", ["seam"], JOB, DUE)) == ["ReadyToInitializedAuto"]
    with pytest.raises(NotAllowed, match=DUE):
        system.prepare_recipe("seam")
    assert not system.follow("", ["seam"], JOB)
    assert names(system.prepare_recipe("seam")) == ["InitializedToReadyRecipe"]
    running = system_in(State.CONTINUOUS_EXECUTION)
    assert not running.follow("", ["seam"], JOB, DUE)
    running.end("Stop")
    with pytest.raises(NotAllowed, match=DUE):
        running.start(JOB, single=True)


def test_an_automatic_system_waits_for_the_check_that_is_due() -> None:
    system = system_in(State.PREOPERATIONAL, automatic=True)
    assert names(system.follow("", ["seam"], JOB, DUE)) == ["PreoperationalToOperationalAuto"]
    assert names(system.follow("", ["seam"], JOB))[-1] == "ReadyToContinuousExecutionAuto"


def test_a_recipe_that_inspects_the_line_no_more_ends_its_job() -> None:
    system = system_in(State.CONTINUOUS_EXECUTION)
    made = system.follow("", ["paint"], JOB)
    assert names(made) == ["ContinuousExecutionToReadyAuto", "ReadyToInitializedAuto"]


def test_another_recipe_of_the_line_ends_a_job_and_has_to_be_prepared() -> None:
    system = system_in(State.CONTINUOUS_EXECUTION)
    assert not system.follow("", ["seam", "paint"], JOB, inspecting=["seam"])
    made = system.follow("", ["seam", "paint"], JOB, inspecting=["paint"])
    assert names(made) == ["ContinuousExecutionToReadyAuto", "ReadyToInitializedAuto"]
    system.prepare_recipe("seam")
    with pytest.raises(UnknownRecipe, match="the recipe of the line is not prepared: paint"):
        system.start(JOB, single=False)
    system.prepare_recipe("paint")
    system.start(JOB, single=False)


def test_a_recipe_that_does_not_inspect_the_line_is_refused() -> None:
    with pytest.raises(UnknownRecipe, match="'paint', but by: seam"):
        system_in(State.INITIALIZED).prepare_recipe("paint")
    with pytest.raises(UnknownRecipe):
        system_in(State.READY).start(Job("job-2", JOB.started_at, recipe_id="paint"), single=True)


def test_a_single_job_ends_with_its_result() -> None:
    system = system_in(State.SINGLE_EXECUTION)
    assert names(system.finish()) == ["SingleExecutionToReadyAuto"]
    assert not system_in(State.CONTINUOUS_EXECUTION).finish()
