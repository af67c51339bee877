"""The OPC UA server of one line: its state machine, its methods and its results. Everything runs in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from asyncua import Server, ua
from ulid import ULID

from services.gateway.outputs.opcua import content
from services.gateway.outputs.opcua.address_space import (
    AUTOMATIC,
    MACHINE,
    RECIPES,
    RESULTS,
    SELECT,
    AddressSpace,
    Handler,
    MethodFailed,
    Values,
)
from services.gateway.outputs.opcua.results import Result, Results
from services.gateway.outputs.opcua.security import Users, secure
from services.gateway.outputs.opcua.state_machine import (
    Job,
    NotAllowed,
    State,
    Transition,
    UnknownRecipe,
    VisionSystem,
)
from services.gateway.outputs.opcua.triggers import INPUTS, OUTPUTS, TRIGGER, CameraTriggers
from services.gateway.outputs.port import (
    CannotChange,
    LineRecipe,
    LineStatus,
    OutputRefused,
    OutputUnavailable,
    Signal,
    Trouble,
)
from services.gateway.outputs.settings import OpcUaSettings
from shared.addresses import host_and_port
from shared.messages import PartVerdict

STARTS: Final = ("StartSingleJob", "StartContinuous")
LOOK_SECONDS: Final = 0.2
"""Between two looks at the status of the line."""
SHOWN_SECONDS = 1.5
"""A status that was not shown again for this time is that of a gateway that hangs."""
ANY: Final = 2
"""A filter that passes what is prepared and what is not: `TriStateBooleanDataType` of the specification."""
HANGS: Final = LineStatus(Trouble.GATEWAY, "the gateway hangs")

_log = structlog.stdlib.get_logger("opcua")

Shown = tuple[LineStatus, int, str | None, tuple[str, ...]]
"""What clients see of the line: its status, the overruns, its recipe, and the recipes in production."""

Done = tuple[Sequence[Transition], Values]
"""What a method has changed, and its outputs."""


class VisionServer:
    """The server of one line. `status` and `shown_at` may be set by another thread."""

    def __init__(self, settings: OpcUaSettings, line: str, recipe: LineRecipe | None = None) -> None:
        """``recipe`` is the recipe of the line, which a client may change; None: it can't."""
        self._recipe = recipe
        self.status: LineStatus | None = None
        """The last status of the line; None before the first one."""
        self.shown_at = time.monotonic()
        self._settings = settings
        self._line = line
        self._users = Users(settings)
        self._server = Server(user_manager=self._users)
        self._nodes = AddressSpace(self._server)
        self._system = VisionSystem(automatic=settings.automatic)
        self._results = Results(settings.buffer)
        self._ended: tuple[str, Job] | None = None
        """The last single job that had a result, and the id of its signal: the result may be offered again."""
        self._lock = asyncio.Lock()
        """Held while the state changes, until clients can see it."""

    async def serve(self, ready: Callable[[], None], end: asyncio.Event) -> None:
        """Serve until ``end`` is set; ``ready`` is called when clients can connect."""
        server = self._server
        await server.init()
        await server.set_application_uri(f"urn:seamline:{self._line}")
        server.set_server_name(f"Seamline {self._line}")
        server.set_endpoint(f"opc.tcp://{host_and_port(self._settings.host, self._settings.port)}/")
        await secure(server, self._settings, self._users)
        await self._nodes.build(self._line)
        for path, handler in self._methods().items():
            await self._nodes.link(path.split("/"), handler)
        if self._settings.triggers:
            cameras = CameraTriggers(self._settings.triggers)
            await self._nodes.add_method(TRIGGER, INPUTS, OUTPUTS, cameras.fire)
        await server.start()
        ready()
        shown: Shown | None = None
        failure = ""
        try:
            while not end.is_set():
                before = failure
                try:
                    shown, failure = await self._follow(shown), ""
                except Exception as error:  # noqa: BLE001  the next look shows the status again
                    failure = repr(error)
                if failure not in ("", before):
                    _log.error("the status of the line can't be shown", line=self._line, reason=failure)
                await _wait(end.wait(), LOOK_SECONDS)
        finally:
            await server.stop()

    async def deliver(self, signal: Signal) -> None:
        """Make a decision a result of the job that runs; return when a client has it.

        Raises:
            OutputUnavailable: no job runs, or no client takes the result.
            OutputRefused: the part of the decision was captured before the job began.
        """
        async with self._lock:
            job = self._job_of(signal)
            result = Result(signal, job, ", ".join(signal.model_versions), datetime.now(UTC))
            self._results.add(result)
            message = f"{signal.part}: {signal.verdict.value}, {signal.action.value}"
            if await self._nodes.announce("ResultReady", message, content.fields_of(result)):
                result.taken.set()
            if not signal.test and job is self._system.job and (made := self._system.finish()):
                self._ended = signal.id, job
                await self._show(made, job)
        if result.taken.is_set():
            return
        left = self._settings.fetch_seconds
        if signal.deadline_at:
            left = min(left, (signal.deadline_at - datetime.now(UTC)).total_seconds())
        if not await _wait(result.taken.wait(), left):
            self._results.withdraw(result)
            raise OutputUnavailable("no client that is connected has subscribed to results, and none has fetched it")

    def _job_of(self, signal: Signal) -> Job:
        system = self._system
        if signal.test and system.state.is_operational:
            return system.job or Job("test", signal.captured_at)
        if self._ended and self._ended[0] == signal.id and system.state.is_operational:
            return self._ended[1]
        if system.job is None:
            reason = f": {system.trouble}" if system.trouble else ""
            raise OutputUnavailable(f"no job runs, because the vision system is in the state {system.state}{reason}")
        if system.job.by_client and not signal.test and signal.captured_at < system.job.started_at:
            raise OutputRefused("its part was captured before the client started the job")
        is_inspected = not signal.test and signal.verdict is not PartVerdict.NOT_INSPECTED
        if is_inspected and system.job.recipe_id not in ("", signal.recipe):
            raise OutputRefused(f"recipe {signal.recipe} inspected its part, and the job has {system.job.recipe_id}")
        return system.job

    async def _follow(self, shown: Shown | None) -> Shown | None:
        """Follow the status of the line, and return what clients see now."""
        status = self.status
        if status is None:
            return None
        if time.monotonic() - self.shown_at > SHOWN_SECONDS:
            status = HANGS
        current, choices = (self._recipe.current, self._recipe.choices) if self._recipe else (None, ())
        if (now := (status, self._results.overruns, current, choices)) == shown:
            return shown
        trouble = "" if status.online else status.reason or status.trouble.name
        inspecting = [current] if current else list(filter(None, [*self._settings.recipes, status.recipe]))
        wanted = self._settings.recipes or choices  # with `recipes`, the output gets no parts of others
        recipes = list(dict.fromkeys([*inspecting, *wanted]))
        job = Job(str(ULID()), datetime.now(UTC), by_client=False)
        async with self._lock:
            ended = self._system.job
            await self._nodes.show_line(status, self._results.overruns)
            made = self._system.follow(trouble, recipes, job, status.check_due, inspecting)
            await self._show(made, ended)
        return now

    async def _show(self, transitions: Sequence[Transition], ended: Job | None) -> None:
        """Show clients the changes of the state; ``ended`` is the job that ran before."""
        for transition in transitions:
            _log.info("the vision system changes its state", line=self._line, transition=transition.name)
            await self._nodes.show_state(transition.target)
            await self._nodes.announce_transition(transition)
            if transition.target is State.READY:
                await self._nodes.announce("Ready", "ready", {"JobId": content.job_id(ended)})
            elif transition.target.is_executing:
                await self._nodes.announce("JobStarted", "a job starts", {"JobId": content.job_id(self._system.job)})

    # ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _methods(self) -> dict[str, Handler]:
        """Return the methods by their paths below the vision system."""
        system = self._system
        changes: dict[str, Callable[[Values], Done]] = {
            f"{MACHINE}/Halt": lambda _: (system.halt(), {}),
            f"{MACHINE}/Reset": lambda _: (system.reset(), {}),
            f"{MACHINE}/{SELECT}": lambda _: (system.select_mode_automatic(), {}),
            f"{MACHINE}/{AUTOMATIC}/Stop": lambda _: (system.end("Stop"), {}),
            f"{MACHINE}/{AUTOMATIC}/Abort": lambda _: (system.end("Abort"), {}),
            f"{MACHINE}/{AUTOMATIC}/StartSingleJob": lambda given: self._start(given, single=True),
            f"{MACHINE}/{AUTOMATIC}/StartContinuous": lambda given: self._start(given, single=False),
            f"{RECIPES}/PrepareRecipe": self._prepare,
            f"{RECIPES}/UnprepareRecipe": lambda given: (system.unprepare_recipe(_recipe(given)), {}),
            f"{RECIPES}/GetRecipeListFiltered": self._list_recipes,
            f"{RESULTS}/GetResultById": self._get_result,
            f"{RESULTS}/GetResultComponentsById": self._get_components,
            f"{RESULTS}/GetResultListFiltered": self._list_results,
        }
        return {path: self._answering(path, change) for path, change in changes.items()}

    def _answering(self, path: str, change: Callable[[Values], Done]) -> Handler:
        """Return the handler of a method: it makes the change, and shows it before the client has the answer."""

        async def answer(given: Values) -> Values:
            async with self._lock:
                ended = self._system.job
                try:
                    await self._change_recipe(path.rpartition("/")[2], _recipe(given))
                    transitions, outputs = change(given)
                except (NotAllowed, UnknownRecipe) as error:
                    _log.warning("a method is refused", line=self._line, method=path, reason=str(error))
                    invalid, unknown = ua.StatusCodes.BadInvalidState, ua.StatusCodes.BadNotFound
                    raise MethodFailed(invalid if isinstance(error, NotAllowed) else unknown, str(error)) from error
                if transitions:
                    _log.info("a client has called a method", line=self._line, method=path)
                await self._show(transitions, ended)
                if path == f"{RECIPES}/PrepareRecipe":
                    recipes = {
                        "ExternalRecipeId": content.external_recipe(_recipe(given)),
                        "InternalRecipeId": outputs["InternalIdOut"],
                    }
                    await self._nodes.announce("RecipePrepared", "a recipe is prepared", recipes)
            return {"Error": 0, **outputs}

        return answer

    async def _change_recipe(self, method: str, recipe: str) -> None:
        """Change the recipe of the line to the one that a client prepares or starts a job with, if it is another one.

        Raises:
            NotAllowed: the state does not allow the method.
            UnknownRecipe: the recipe can't inspect the line.
        """
        if method == "PrepareRecipe":
            self._system.check_prepare(recipe)
        elif method in STARTS and recipe:
            self._system.check_start(method, recipe)
        else:
            return
        if self._recipe is None:
            return
        current = self._recipe.current or (self.status.recipe if self.status else "")
        is_declared = not current and recipe in self._settings.recipes  # the line has inspected nothing so far
        if recipe == current or is_declared:
            return
        try:
            await asyncio.to_thread(self._recipe.change, recipe, f"opcua:{self._settings.user or 'anonymous'}")
        except CannotChange as error:
            raise UnknownRecipe(str(error)) from error
        self._system.inspecting = (recipe,)

    def _start(self, given: Values, *, single: bool) -> Done:
        job = Job(
            str(ULID()),
            datetime.now(UTC),
            meas_id=content.text_of(given.get("MeasId")),
            part_id=content.text_of(given.get("PartId")) if single else "",
            recipe_id=_recipe(given),
            product_id=content.text_of(given.get("ProductId")),
        )
        return self._system.start(job, single=single), {"JobId": content.job_id(job)}

    def _prepare(self, given: Values) -> Done:
        recipe = _recipe(given)
        made = self._system.prepare_recipe(recipe)
        return made, {"InternalIdOut": content.recipe_of(recipe, self._model_version(recipe)), "IsCompleted": True}

    def _list_recipes(self, given: Values) -> Done:
        wanted, prepared = _recipe(given), given.get("IsPrepared")
        recipes = [
            recipe
            for recipe in self._system.recipes
            if wanted in ("", recipe) and prepared in (None, ANY, int(recipe in self._system.prepared))
        ]
        return (), {
            "IsComplete": True,
            "ResultCount": len(recipes),
            "RecipeList": [content.recipe_of(recipe, self._model_version(recipe)) for recipe in recipes],
        }

    def _get_result(self, given: Values) -> Done:
        return (), {"Result": content.result_of(self._fetch(given))}

    def _get_components(self, given: Values) -> Done:
        return (), content.fields_of(self._fetch(given))

    def _list_results(self, given: Values) -> Done:
        most = given.get("MaxResults") or 0
        found = self._results.select(
            part=content.text_of(given.get("PartId")),
            job=content.text_of(given.get("JobId")),
            recipe=_recipe(given),
            first=given.get("StartIndex") or 0,
            most=most,
        )
        complete = not most or len(found) < most
        results = [content.result_of(result) for result in found]
        return (), {"IsComplete": complete, "ResultCount": len(results), "ResultList": results}

    def _fetch(self, given: Values) -> Result:
        wanted = content.text_of(given["ResultId"])
        if (result := self._results.fetch(wanted)) is None:
            raise MethodFailed(ua.StatusCodes.BadNotFound, f"no result {wanted!r} is in the buffer")
        return result

    def _model_version(self, recipe: str) -> str:
        status = self.status
        return status.model_version if status and status.recipe == recipe else ""


def _recipe(given: Values) -> str:
    """Return the recipe that a client names, by the id of the plant or by that of the vision system."""
    names = ("ExternalId", "ExternalRecipeId", "RecipeId", "InternalIdIn", "InternalRecipeId")
    return next((text for name in names if (text := content.text_of(given.get(name)))), "")


async def _wait(event: Awaitable[Any], seconds: float) -> bool:
    """Return whether an event happens in a time."""
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return False
    return True
