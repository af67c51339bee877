"""What clients get, in the data types of OPC 40100-1. The types are known once the nodeset is imported."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from services.gateway.outputs.opcua.results import Result, part_id
from services.gateway.outputs.opcua.state_machine import Job
from shared.messages import PartAction, PartVerdict

COMPLETED: Final = 1
FAILED: Final = 4
"""States of a result: a part that was not inspected has failed."""
VERDICTS: Final = {PartVerdict.OK: 1, PartVerdict.NG: 2, PartVerdict.NOT_INSPECTED: 3}
ACTIONS: Final = {PartAction.PASS: 1, PartAction.REJECT: 2, PartAction.STOP: 3}


def fields_of(result: Result) -> dict[str, Any]:
    """Return a result as the fields of its event, by their names in the specification."""
    signal, job = result.signal, result.job
    return {
        "IsPartial": False,
        "IsSimulated": signal.test,
        "ResultState": state_of(result),
        "ResultId": _identified(ua.ResultIdDataType(), signal.id),
        "MeasId": _identified(ua.MeasIdDataType(), job.meas_id),
        "PartId": _identified(ua.PartIdDataType(), part_id(result)),
        "ExternalRecipeId": _identified(ua.RecipeIdExternalDataType(), signal.recipe),
        "InternalRecipeId": recipe_of(signal.recipe, result.model_version),
        "ProductId": _identified(ua.ProductIdDataType(), job.product_id),
        "InternalConfigurationId": _identified(ua.ConfigurationIdDataType(), result.model_version),
        "JobId": job_id(job),
        "CreationTime": result.created_at,
        "ProcessingTimes": _times(result),
        "ResultContent": content_of(result),
    }


def result_of(result: Result) -> Any:
    """Return a result as the structure of the specification."""
    structure = ua.ResultDataType()
    for name, value in fields_of(result).items():
        setattr(structure, name, value)
    structure.HasTransferableDataOnFile = False
    return structure


def content_of(result: Result) -> list[ua.Variant]:
    """Return the content of a result: decision, action, and the document of the signal."""
    signal = result.signal
    return [
        ua.Variant(VERDICTS[signal.verdict], ua.VariantType.UInt16),
        ua.Variant(ACTIONS[signal.action], ua.VariantType.UInt16),
        ua.Variant(signal.encode().decode(), ua.VariantType.String),
    ]


def state_of(result: Result) -> int:
    """Return the state of a result."""
    return FAILED if result.signal.verdict is PartVerdict.NOT_INSPECTED else COMPLETED


def recipe_of(recipe: str, model_version: str) -> Any:
    """Return a recipe as the vision system names it: the version is that of the model."""
    internal = _identified(ua.RecipeIdInternalDataType(), recipe)
    internal.Version = model_version
    return internal


def external_recipe(recipe: str) -> Any:
    """Return a recipe as the plant names it."""
    return _identified(ua.RecipeIdExternalDataType(), recipe)


def job_id(job: Job | None) -> Any:
    """Return the id of a job."""
    return _identified(ua.JobIdDataType(), job.id if job else "")


def text_of(value: Any) -> str:
    """Return the id that a client has given in a structure; empty if it has given none."""
    return (getattr(value, "Id", None) or "").strip()


def _identified(structure: Any, identity: str) -> Any:
    structure.Id = identity
    return structure


def _times(result: Result) -> Any:
    times = ua.ProcessingTimesDataType()
    times.StartTime, times.EndTime = result.signal.captured_at, result.signal.decided_at
    return times
