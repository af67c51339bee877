"""When a check of a line is due, what becomes of its parts meanwhile, and what survives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from services.gateway.journal import Journal
from services.gateway.part_assembly import Now
from services.gateway.readiness import Readiness
from services.gateway.rule import Plan
from shared.messages import CheckCause, LineChecked, PartAction, PartDecided
from shared.recipe import Parts, Recipe, RequiredCheck, parse_recipe
from shared.shifts import Shifts
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.challenges import check, record_of
from tests.parts import RECIPE, verdict
from tests.verdicts import Line, decision_of

SHIFTS: Final = Shifts.parse("06:00,14:00,22:00", "Europe/Berlin")
MORNING: Final = datetime(2026, 1, 31, 7, 0, tzinfo=UTC)
"""8:00 in Berlin: two hours after the start of the shift."""
LINE: Final = "line-1"


class Storage(FilesystemStore):
    """Object storage that can be away."""

    is_away = False

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        if self.is_away:
            raise StorageUnavailable("it is away")
        super().put(key, content, content_type)


class Plant:
    """The readiness of a line in a gateway, whose clock the test sets."""

    def __init__(self, readiness: Callable[[Callable[[], Now]], Readiness]) -> None:
        self.now = MORNING
        self.recipe = recipe()
        self.readiness = readiness(lambda: Now(0.0, self.now))

    def inspect(self, model_version: str = "v1", of: Recipe | None = None) -> None:
        found = verdict().model_copy(update={"model_version": model_version})
        self.readiness.inspected(found, of or self.recipe)

    def check(self, passed: bool = True, model_version: str = "v1", **changes: Any) -> None:
        self.readiness.checked(record(self.now, passed=passed, model_versions=(model_version,), **changes))

    @property
    def cause(self) -> CheckCause | None:
        due = self.readiness.due(LINE)
        return due.cause if due else None

    def decide(self, action: PartAction = PartAction.PASS) -> PartDecided:
        plan = Plan(Parts(), self.recipe, "v1")
        return self.readiness.mark(decision_of(Line().verdict(), action=action), plan)


def recipe(**required: Any) -> Recipe:
    return parse_recipe(RECIPE).model_copy(update={"check": RequiredCheck(**required)})


def record(at: datetime, **changes: Any) -> LineChecked:
    return record_of(check(), recipe="seam", at=at).model_copy(update=changes)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "objects")


@pytest.fixture
def gateway(tmp_path: Path, store: Storage) -> Iterator[Callable[..., Plant]]:
    """Starts a gateway with a journal in a folder of this name; the same name is the same gateway after a restart."""
    journals: dict[str, Journal] = {}
    with ExitStack() as opened:

        def start(name: str = "one", required: RequiredCheck | None = None) -> Plant:
            if name not in journals:
                journals[name] = opened.enter_context(Journal(tmp_path / name, timedelta(days=7)))
            of_lines = {LINE: required} if required else {}
            return Plant(lambda clock: Readiness(journals[name], store, of_lines, SHIFTS, clock))

        yield start


def test_a_line_is_ready_from_a_check_that_passed_until_the_next_shift(gateway: Callable[..., Plant]) -> None:
    plant = gateway()
    assert plant.cause is None, "no recipe is known"
    plant.inspect()
    assert plant.cause is CheckCause.NEVER
    plant.check()
    assert plant.cause is None
    plant.now = datetime(2026, 1, 31, 12, 59, tzinfo=UTC)
    assert plant.cause is None
    plant.now = datetime(2026, 1, 31, 13, 0, tzinfo=UTC)
    due = plant.readiness.due(LINE)
    assert due is not None
    assert (due.cause, due.since) == (CheckCause.SHIFT, plant.now)
    assert plant.readiness.describe(due) == "a check is due since 14:00: a shift began"
    plant.now += timedelta(days=1)
    assert plant.readiness.describe(due) == "a check is due since 2026-01-31 14:00: a shift began"


@pytest.mark.parametrize(("minutes", "cause"), [(29, None), (31, CheckCause.SHIFT)])
def test_a_check_shortly_before_a_shift_counts_for_it(
    gateway: Callable[..., Plant], minutes: int, cause: CheckCause | None
) -> None:
    plant = gateway()
    plant.inspect()
    start = datetime(2026, 1, 31, 13, 0, tzinfo=UTC)
    plant.now = start - timedelta(minutes=minutes)
    plant.check()
    plant.now = start
    assert plant.cause is cause


def test_another_model_makes_a_check_due_also_when_the_first_one_comes_back(gateway: Callable[..., Plant]) -> None:
    plant = gateway()
    plant.inspect("v1")
    plant.check(model_version="v1")
    plant.inspect("v1")
    assert plant.cause is None
    plant.inspect("v2")
    assert plant.cause is CheckCause.CHANGE
    plant.inspect("v1")
    assert plant.cause is CheckCause.CHANGE
    plant.check(model_version="v3")
    assert plant.cause is None, "the line was checked with the model that is to inspect it"
    plant.inspect("v3")
    assert plant.cause is None
    plant.check(model_version="v4")
    plant.inspect("v3")
    assert plant.cause is CheckCause.CHANGE, "the check was of another model"


@pytest.mark.parametrize(
    ("required", "hours", "version", "cause"),
    [
        ("shift", 1, "v2", None),
        ("change", 30, "v1", None),
        ("both", 1, "v2", CheckCause.CHANGE),
        ("both", 30, "v1", CheckCause.SHIFT),
    ],
)
def test_the_recipe_says_what_makes_a_check_due(
    gateway: Callable[..., Plant], required: str, hours: int, version: str, cause: CheckCause | None
) -> None:
    plant = gateway()
    plant.recipe = recipe(required=required)
    plant.inspect()
    plant.check()
    plant.now += timedelta(hours=hours)
    plant.inspect(version)
    assert plant.cause is cause


def test_a_check_expires_and_the_file_of_the_lines_takes_precedence(gateway: Callable[..., Plant]) -> None:
    plant = gateway(required=RequiredCheck(required="change", valid_hours=2))
    assert plant.cause is CheckCause.NEVER, "before any verdict"
    plant.inspect(of=parse_recipe(RECIPE))
    plant.check()
    assert plant.cause is None
    plant.now += timedelta(hours=2)
    due = plant.readiness.due(LINE)
    assert due is not None
    assert (due.cause, due.since) == (CheckCause.EXPIRED, plant.now)


def test_a_failed_check_takes_ready_away_and_one_that_could_not_run_does_not(gateway: Callable[..., Plant]) -> None:
    plant = gateway()
    plant.inspect()
    plant.check()
    plant.check(passed=False, parts=())
    assert plant.cause is None
    plant.check(passed=False)
    assert plant.cause is CheckCause.FAILED
    plant.check()
    assert plant.cause is None


@pytest.mark.parametrize(
    ("while_due", "action", "becomes"),
    [
        ("mark", PartAction.PASS, PartAction.PASS),
        ("reject", PartAction.PASS, PartAction.REJECT),
        ("reject", PartAction.STOP, PartAction.STOP),
        ("stop", PartAction.REJECT, PartAction.STOP),
    ],
)
def test_parts_are_marked_while_a_check_is_due_and_the_recipe_says_what_becomes_of_them(
    gateway: Callable[..., Plant], while_due: str, action: PartAction, becomes: PartAction
) -> None:
    plant = gateway()
    plant.recipe = recipe(while_due=while_due)
    decision = plant.decide(action)
    assert (decision.unchecked, decision.action, decision.verdict) == (True, becomes, "ok")
    plant.inspect()
    plant.check()
    decision = plant.decide(action)
    assert (decision.unchecked, decision.action) == (False, action)
    plant.recipe = parse_recipe(RECIPE)
    plant.check(passed=False)
    assert not plant.decide().unchecked, "this recipe requires none"


def test_a_restart_and_another_gateway_say_the_same(gateway: Callable[..., Plant], store: Storage) -> None:
    one = gateway("one")
    one.inspect()
    one.check()
    assert gateway("one").cause is None
    store.is_away = True
    one.readiness.copy()
    store.is_away = False
    one.readiness.copy()
    two = gateway("two")
    two.readiness.copy()
    assert two.cause is None
    two.now += timedelta(minutes=1)
    two.inspect("v2")
    two.readiness.copy()
    back = gateway("one")
    assert back.cause is None, "its journal is older"
    back.readiness.copy()
    assert back.cause is CheckCause.CHANGE
    assert gateway("one").cause is CheckCause.CHANGE
    assert gateway("three").cause is None, "it has read nothing so far"
