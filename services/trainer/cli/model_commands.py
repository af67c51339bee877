"""The commands for models: list, compare, promote, roll back, set thresholds, import and export."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import ValidationError
from pydantic_core import from_json
from ulid import ULID

from services.trainer.cli.errors import report_errors
from services.trainer.errors import TrainerError
from services.trainer.jobs.threshold_results import find_result
from services.trainer.settings import TrainerSettings
from shared.contracts.bundle import (
    EVALUATION,
    MANIFEST,
    Bundle,
    BundleExists,
    Manifest,
    folder_of,
    read_bundle,
    read_bundle_folder,
    versions,
    write_bundle,
    write_bundle_folder,
)
from shared.contracts.operating_points import OperatingPointName, OperatingPoints
from shared.contracts.promotion import find_decision, history_of, production_history, production_version, version_before
from shared.engines.quiet import import_quietly
from shared.environment import read_settings
from shared.explain.explainable import refuse_unexplainable
from shared.messages import (
    Message,
    ModelPromoted,
    PromotionRefused,
    PromotionRequested,
    ThresholdsRefused,
    ThresholdsRequested,
    ThresholdsStored,
)
from shared.messaging import open_broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.validation import describe

REFUSED: Final = 1
"""Exit code of a refused request."""
UNANSWERED: Final = 3
"""Exit code of a request without an answer in time."""
POLL_SECONDS: Final = 0.2
MOST_NAMED: Final = 3
"""Most files that an error names."""

Request = TypeVar("Request", PromotionRequested, ThresholdsRequested)
Done = TypeVar("Done", ModelPromoted, ThresholdsStored)
commands = typer.Typer()

Recipe = Annotated[str, typer.Argument(help="Name of the recipe.")]
By = Annotated[str, typer.Option(envvar="USER", help="The person who requests it; stored in the history.")]
Reason = Annotated[str, typer.Option(help="Why; stored in the history.")]
WaitSeconds = Annotated[float, typer.Option(min=0, help="Seconds to wait for the trainer's answer.")]


class InvalidRequest(TrainerError):
    """A request is not valid."""


class InvalidThreshold(InvalidRequest):
    """A threshold is not a label and a number."""


class NoEarlierModel(TrainerError):
    """There is no model to roll back to."""


@commands.command()
def models(recipe: Recipe) -> None:
    """List the models of a recipe, oldest first, and which one is in production."""
    with report_errors():
        store = _store()
        current = production_version(store, recipe)
        for version in versions(store, recipe):
            typer.echo(f"{version}{'  in production' if version == current else ''}")


@commands.command()
def history(recipe: Recipe) -> None:
    """Print every promotion, rollback and refusal of a recipe, oldest first: who, when, why, from, to."""
    with report_errors():
        for entry in history_of(_store(), recipe):
            forced = "  forced" if entry.forced else ""
            why = "; ".join(filter(None, [entry.reason, entry.gate]))
            change = f"{entry.outcome.value}{forced}  {entry.previous or '-'} -> {entry.version}"
            typer.echo(f"{entry.at:%Y-%m-%d %H:%M:%S}  {change}  {entry.by}: {why}")


@commands.command()
def compare(
    recipe: Recipe,
    baseline: Annotated[str, typer.Argument(help="A model version.")],
    candidate: Annotated[str, typer.Argument(help="Another version: both are measured on its test images.")],
) -> None:
    """Measure two models on the same test images: each label and the whole, with 95 % intervals."""
    with report_errors():
        comparing = import_quietly("services.trainer.measuring.compare")
        found = comparing.compare(_store(), recipe, baseline, candidate)
        import_quietly("services.trainer.cli.side_by_side").show(found)


@commands.command()
def promote(
    recipe: Recipe,
    model_version: Annotated[str, typer.Argument(help="Refused when it is worse than the one in production.")],
    *,
    reason: Reason = "",
    by: By = "command line",
    force: Annotated[bool, typer.Option(help="Although it is worse, or can't be compared; needs a reason.")] = False,
    wait_seconds: WaitSeconds = 60.0,
) -> None:
    """Ask the running trainer to make a model the one in production."""
    with report_errors():
        _ask(recipe, model_version, wait_seconds, reason=reason, by=by, force=force)


@commands.command()
def rollback(recipe: Recipe, *, reason: Reason = "", by: By = "command line", wait_seconds: WaitSeconds = 60.0) -> None:
    """Ask the running trainer to put the model back into production that was there before."""
    with report_errors():
        before = version_before(production_history(_store(), recipe))
        if before is None:
            raise NoEarlierModel(f"no other model of recipe {recipe!r} was in production before")
        _ask(recipe, before, wait_seconds, reason=reason, by=by, rollback=True)


@commands.command("thresholds")
def set_thresholds(
    recipe: Recipe,
    model_version: Annotated[str, typer.Argument(help="The version with the network and the other thresholds.")],
    *,
    chosen: Annotated[list[str] | None, typer.Option("--set", help="LABEL=THRESHOLD, as often as needed.")] = None,
    operating_point: Annotated[
        OperatingPointName | None, typer.Option(help="Instead of --set: an operating point of the model's evaluation.")
    ] = None,
    reason: Reason = "",
    by: By = "command line",
    promotion: Annotated[bool, typer.Option("--promote", help="Promote the version if it passes the gate.")] = False,
    wait_seconds: WaitSeconds = 60.0,
) -> None:
    """Request a threshold set of the running trainer, measured on the model's own test images."""
    with report_errors():
        if bool(chosen) == bool(operating_point):
            raise InvalidRequest("give either --set or --operating-point")
        thresholds: dict[str, Any] = dict(each.rpartition("=")[::2] for each in chosen or ())
        request = _make_request(
            ThresholdsRequested,
            thresholds_id=f"thresholds-{ULID()}",
            recipe=recipe,
            model_version=model_version,
            thresholds=thresholds_of(recipe, model_version, operating_point) if operating_point else thresholds,
            reason=reason or (f"operating point {operating_point}" if operating_point else ""),
            by=by,
            promote=promotion,
        )
        answer = _await_answer(request, lambda store: find_result(store, recipe, request.thresholds_id), wait_seconds)
        typer.echo(f"{answer.model_version} has these thresholds")


def thresholds_of(recipe: str, version: str, name: OperatingPointName) -> dict[str, float]:
    """Return the thresholds of an operating point of a model.

    Raises:
        InvalidRequest: there is no such model, or its evaluation has no such operating point.
    """
    try:
        document = from_json(_store().get(f"{folder_of(recipe, version)}/{EVALUATION}"))
        return OperatingPoints.model_validate(document["operating_points"]).points[name].thresholds
    except ObjectNotFound:
        raise InvalidRequest(f"recipe {recipe!r} has no model {version}") from None
    except (KeyError, ValueError):
        raise InvalidRequest(f"model {version} has no operating point {name}: give thresholds with --set") from None


@commands.command("import")
def import_model(model: Annotated[Path, typer.Option(help="Folder of a bundle.")]) -> None:
    """Import the bundle of a folder into object storage; `promote` it afterwards."""
    with report_errors():
        bundle = read_bundle_folder(model)
        refuse_unexplainable(bundle)
        write_bundle(_store(), bundle.manifest, bundle.files)
        typer.echo(f"model {bundle.version} of recipe {bundle.manifest.recipe} is in object storage")


@commands.command("export")
def export_model(
    recipe: Recipe,
    model_version: Annotated[str, typer.Argument()],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
) -> None:
    """Copy a bundle from object storage into a folder without another bundle."""
    with report_errors():
        bundle = read_bundle(_store(), recipe, model_version)
        _refuse_mixture(out, bundle)
        write_bundle_folder(out, bundle)


def _refuse_mixture(out: Path, bundle: Bundle) -> None:
    """Check that a folder holds nothing but files of this model.

    Raises:
        BundleExists: the folder holds something else.
    """
    manifest = out / MANIFEST
    try:
        is_other = manifest.exists() and Manifest.model_validate_json(manifest.read_bytes()) != bundle.manifest
    except ValidationError:
        is_other = True
    if is_other:
        raise BundleExists(f"{out} holds another model, and models are not changed: choose another folder")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if others := sorted(there - {*bundle.files, MANIFEST}):
        named = ", ".join(others[:MOST_NAMED]) + (", …" if others[MOST_NAMED:] else "")
        raise BundleExists(f"{out} holds files that are not of model {bundle.version} ({named}): choose another folder")


def _store() -> ObjectStore:
    return open_store(read_settings(TrainerSettings))


def _ask(recipe: str, version: str, wait_seconds: float, **details: Any) -> None:
    """Request a promotion, and print the trainer's answer."""
    request = _make_request(
        PromotionRequested, promotion_id=str(ULID()), recipe=recipe, model_version=version, **details
    )
    answer = _await_answer(request, lambda store: find_decision(store, recipe, request.promotion_id), wait_seconds)
    typer.echo(f"{version} is in production: {answer.gate}")


def _make_request(kind: type[Request], **fields: Any) -> Request:
    """Make a request with the present time.

    Raises:
        InvalidRequest: a field is not valid; the error names the first such field.
    """
    try:
        return kind.model_validate({**fields, "at": datetime.now(UTC)})
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        if field == "thresholds":
            told = " ".join(f"{label}={threshold}".removeprefix("=") for label, threshold in fields[field].items())
            raise InvalidThreshold(f"a threshold is LABEL=NUMBER between 0 and 1, and not {told}") from error
        if field in ("recipe", "model_version"):
            raise InvalidRequest(
                f"{field} is at most 64 letters, digits, _ and -, after a letter or digit, and not {fields[field]!r}"
            ) from error
        raise InvalidRequest(f"{field}: {describe(problem)}") from error


def _await_answer(
    request: Message,
    find: Callable[[ObjectStore], Done | PromotionRefused | ThresholdsRefused | None],
    wait_seconds: float,
) -> Done:
    """Publish a request, and return the trainer's answer; exit if the trainer refuses, or does not answer in time."""
    settings = read_settings(TrainerSettings)
    with closing(open_broker(settings)) as broker:
        broker.publisher().publish(request).result()
    store = open_store(settings)
    end = time.monotonic() + wait_seconds
    while not (answer := find(store)) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    if answer is None:
        typer.echo(
            "requested; the trainer has not answered yet: check that it runs; the request stays in its queue", err=True
        )
        raise typer.Exit(UNANSWERED)
    if isinstance(answer, (PromotionRefused, ThresholdsRefused)):
        typer.echo(f"refused: {answer.reason}", err=True)
        raise typer.Exit(REFUSED)
    return answer
