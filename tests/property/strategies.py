"""Arbitrary valid instances of the models that travel or are stored."""

from __future__ import annotations

import types
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Len, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, JsonValue
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from shared.label_names import IMAGE_COLUMN, LONGEST_LABEL, label_name, written_alike
from shared.messages import ChallengePart

Model = TypeVar("Model", bound=BaseModel)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LETTERS = "abcxyzABCXYZ0179"
OF_PATTERN = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": st.builds(
        str.__add__, st.sampled_from(LETTERS), st.text(st.sampled_from(f"{LETTERS}_-"), max_size=8)
    ),
    r"^[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9}$": st.builds(
        "{}-{:09d}".format, st.sampled_from(("01HZX3V8Q4J7M2T6N9R5W0Y1KB", "7" + "Z" * 25)), st.integers(0, 999_999_999)
    ),
}
"""Much quicker than from the pattern itself."""
LABELS = (
    st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"]), max_size=40)
    .map(written_alike)
    .filter(lambda name: name and name.lower() != IMAGE_COLUMN and name.isprintable() and len(name) <= LONGEST_LABEL)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(
    datetime(2024, 1, 1),  # noqa: DTZ001  the zone comes from below
    datetime(2026, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@cache
def instances(kind: type[Model]) -> st.SearchStrategy[Model]:
    """Of a model, each as it is after its validation; a field with a default may be left out."""
    fields = {name: _field(field) for name, field in kind.model_fields.items()}
    needed = {name: values for name, values in fields.items() if kind.model_fields[name].is_required()}
    others = {name: values for name, values in fields.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=others).map(partial(_fitting, kind)).map(kind.model_validate)


def _fitting(kind: type[BaseModel], fields: dict[str, Any]) -> dict[str, Any]:
    """A frame is of a check where the message is; storage keys are below the frame's own prefix.

    A part of a challenge set without images is a real part.
    """
    if kind is ChallengePart:
        return {**fields, "fed": fields.get("fed", False) or not fields.get("images")}
    if (frame := fields.get("frame")) is None:
        return fields
    if (of_check := getattr(kind, "of_check", None)) is not None:
        frame = frame.model_copy(update={"check": "check-1" if of_check else None})
        fields = {**fields, "frame": frame}
    key = f"{frame.storage_key}/file"
    heatmaps = {label: each.model_copy(update={"key": key}) for label, each in fields.get("heatmaps", {}).items()}
    own = {
        name: key for name, value in fields.items() if (name == "key" or name.endswith("_key")) and value is not None
    }
    return {**fields, **own, **({"heatmaps": heatmaps} if heatmaps else {})}


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return values_of(field.annotation, tuple(field.metadata))


def values_of(annotation: Any, bounds: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:  # noqa: PLR0911  a table
    """Of a type, within the bounds of its field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is JsonValue:
        return JSON
    if isinstance(annotation, TypeAliasType):
        return values_of(annotation.__value__, bounds)
    if origin is Annotated and annotation is not AwareDatetime:
        inner = arguments[1:]
        metadata = [each for one in inner for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return values_of(arguments[0], (*metadata, *bounds))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(each, bounds) for each in arguments])
    if annotation is AwareDatetime or annotation is datetime:
        return MOMENTS
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*(values_of(each) for each in arguments))
    if origin in (tuple, list):
        return st.lists(values_of(arguments[0]), min_size=_least_length(bounds), max_size=4).map(origin)
    if origin is dict:
        keys, values = arguments
        return st.dictionaries(values_of(keys), values_of(values), min_size=_least_length(bounds), max_size=4)
    return _plain(annotation, bounds)


def _plain(annotation: Any, bounds: tuple[Any, ...]) -> st.SearchStrategy[Any]:  # noqa: PLR0911  a table
    if annotation in (None, type(None)):
        return st.none()
    if issubclass(annotation, BaseModel):
        return instances(annotation)
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if annotation is bool:
        return st.booleans()
    if annotation is bytes:
        return st.binary(max_size=100)
    if annotation is int:
        low, high = _ends(bounds)
        least = -(2**31) if low is None else int(low) + _has(bounds, "gt")
        return st.integers(least, 2**31 if high is None else int(high) - _has(bounds, "lt"))
    if annotation is float:
        return _floats(bounds)
    assert annotation is str, annotation
    return _texts(bounds)


def _texts(bounds: tuple[Any, ...]) -> st.SearchStrategy[str]:
    if any(getattr(each, "func", None) is label_name for each in bounds):
        return LABELS
    patterns = [each.pattern for each in bounds if getattr(each, "pattern", None)]
    longest = min(
        (each.max_length for each in bounds if isinstance(each, MaxLen | Len) and each.max_length), default=40
    )
    texts = TEXT
    for pattern in patterns:
        texts = OF_PATTERN[pattern] if pattern in OF_PATTERN else st.from_regex(pattern, fullmatch=True)
    return texts.filter(lambda text: _least_length(bounds) <= len(text) <= longest)


def _floats(bounds: tuple[Any, ...]) -> st.SearchStrategy[float]:
    low, high = _ends(bounds)
    above, below = _has(bounds, "gt"), _has(bounds, "lt")
    return st.floats(low, high, allow_nan=False, allow_infinity=False, exclude_min=above, exclude_max=below)


def _ends(bounds: tuple[Any, ...]) -> tuple[float | None, float | None]:
    """The least and the greatest number, or what they are above and below."""
    found = {name: getattr(each, name) for each in bounds for name in ("ge", "gt", "le", "lt") if hasattr(each, name)}
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def _has(bounds: tuple[Any, ...], name: str) -> bool:
    return any(hasattr(each, name) for each in bounds)


def _least_length(bounds: tuple[Any, ...]) -> int:
    return max((each.min_length for each in bounds if isinstance(each, MinLen | Len)), default=0)
