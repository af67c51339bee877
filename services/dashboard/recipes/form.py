"""The fields of a recipe in the form of its page, each named by its place in the recipe, such as ``image.height``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.label_names import written_alike
from shared.language import translated
from shared.recipe import Colour, Recipe, Task
from shared.validation import describe

PERCENT: Final = ("defect_rate", "augmentation.shift")
"""Shares that people write in percent."""
LISTS: Final = {"parts.cameras": ", ", "image.reference.images": "\n"}
"""Lists, with what is written between their parts: names of images may have commas."""
BOXES: Final = (
    "image.fixed",
    *(
        f"augmentation.{name}"
        for name in ("brightness", "moved_strip", "flip_horizontal", "flip_vertical", "blur", "noise")
    ),
)
"""Boxes; one that is not ticked is not sent."""
NUMBERS: Final = (
    *("image.height", "image.width", "image.reference.least_likeness", "unsure_margin", "stored_images.every_nth_ok"),
    *("augmentation.rotation", "costs.escape", "costs.overkill"),
    *("parts.frames", "parts.deadline_ms", "parts.at_least", "check.early_minutes", "check.valid_hours", *PERCENT),
)
"""Numbers, which may have a decimal comma."""
OPTIONAL: Final = {"parts": "parts.of", "check": "check.required", "image.reference": "image.reference.images"}
"""Sections that a recipe may lack, each with the field that is empty then."""
TEXTS: Final = (
    *("name", "task", "description", "image.colour", "image.normalisation", "image.reference.motion", "explain"),
    *("unlike_good", "explanation.method", "explanation.layer", "parts.of", "parts.rule", "parts.not_inspected"),
    *("check.required", "check.while_due"),
)
FIELDS: Final = frozenset({*TEXTS, *NUMBERS, *LISTS, *BOXES})
"""All fields but those of labels."""
LABEL_FIELDS: Final = ("name", "key", "colour", "role", "expected", "threshold")
LABEL: Final = re.compile(r"labels\.(\d{1,4})\.(\w+)")
"""The name of a field of a label."""
WHOLE: Final = "whole"
"""The place of a problem that belongs to no field."""


@dataclass(frozen=True)
class RecipeForm:
    """The form with its problems."""

    values: Mapping[str, str]
    """By field."""
    recipe: Recipe | None
    """None if a field has a problem."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What to correct, by field."""

    @property
    def rows(self) -> list[int]:
        """Return the numbers of the labels in the names of their fields."""
        return rows_of(self.values)


def form_of(recipe: Recipe) -> RecipeForm:
    """Return the form that is filled with a recipe; of a model of good images alone, with the labels of its images."""
    recipe = recipe.annotated
    document = recipe.model_dump(mode="json", exclude={"labels"})
    values = {name: _written(name, _found(document, name)) for name in FIELDS}
    for number, label in enumerate(recipe.labels):
        written = {
            "name": label.name,
            "key": label.key or "",
            "colour": written_colour(label.colour),
            "role": label.role.value,
            "expected": "" if label.expected is None else str(label.expected).lower(),
            "threshold": f"{label.threshold:g}",
        }
        values.update({f"labels.{number}.{name}": text for name, text in written.items()})
    return RecipeForm(values, recipe)


def read_form(fields: Mapping[str, str]) -> RecipeForm:
    """Read a form as a browser sent it, with a problem for each field that the recipe refuses."""
    values = {
        name: text.replace("\r\n", "\n")  # a browser sends line breaks of a text in this way
        for name, text in fields.items()
        if name in FIELDS or ((match := LABEL.fullmatch(name)) and match.group(2) in LABEL_FIELDS)
    }
    document = _document_of(values)
    problems: dict[str, str] = {}
    # labels are compared with each other only in a recipe whose fields are valid: so they are checked alone, too
    for checked in (document, {"name": "labels", "task": Task.MULTI_LABEL, "labels": document["labels"]}):
        try:
            Recipe.model_validate(checked)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                problems.setdefault(_field_of(found, values), describe(_in_percent(found), translated))
    return RecipeForm(values, None if problems else Recipe.model_validate(document), problems)


def rows_of(values: Mapping[str, str]) -> list[int]:
    """Return the numbers of the labels in the names of their fields, in the order of the labels."""
    return sorted({int(match.group(1)) for name in values if (match := LABEL.fullmatch(name))})


def written_colour(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#" + bytes(colour).hex()


def _found(document: Mapping[str, Any], name: str) -> Any:
    """Return the value at a place of a recipe; None if its section is missing."""
    value: Any = document
    for part in name.split("."):
        if value is None:
            return None
        value = value[part]
    return value


def _written(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "on"
    if name in LISTS:
        return LISTS[name].join(value)
    return f"{100 * value:g}" if name in PERCENT else f"{value:g}" if isinstance(value, float) else str(value)


def _document_of(values: Mapping[str, str]) -> dict[str, Any]:
    """Return a recipe as nested fields; an empty field is left out, so that it has its default."""
    document: dict[str, Any] = {}
    absent = tuple(f"{section}." for section, name in OPTIONAL.items() if not values.get(name))
    for name in sorted(FIELDS):
        text = values.get(name, "")
        if (not text and name not in BOXES) or name.startswith(absent):
            continue
        section = document
        *sections, last = name.split(".")
        for part in sections:
            section = section.setdefault(part, {})
        section[last] = _value_of(name, text)
    document["labels"] = [
        {
            name: given.replace(",", ".") if name == "threshold" else given
            for name in LABEL_FIELDS
            if (given := values.get(f"labels.{number}.{name}"))
        }
        for number in rows_of(values)
    ]
    return document


def _value_of(name: str, text: str) -> Any:
    if name in BOXES:
        return bool(text)
    if name in LISTS:
        return [part.strip() for part in text.split(LISTS[name].strip(" ")) if part.strip()]
    if name in NUMBERS:
        text = text.replace(",", ".")
    if name in PERCENT:
        with suppress(ValueError):
            return round(float(text) / 100, 9)
    return text


def _field_of(problem: ErrorDetails, values: Mapping[str, str]) -> str:
    """Return the field beside which a problem is shown."""
    rows = rows_of(values)
    if problem["type"] == "conflict":
        what, label = problem["ctx"]["what"], problem["ctx"]["label"]
        same = (row for row in reversed(rows) if written_alike(values.get(f"labels.{row}.name", "")) == label)
        return f"labels.{next(same, rows[-1])}.{what}"
    place: Sequence[int | str] = problem["loc"]
    if len(place) > 1 and place[0] == "labels" and isinstance(place[1], int):
        row = rows[place[1]]
        name = place[2] if len(place) > 2 and place[2] in LABEL_FIELDS else "expected"
        return f"labels.{row}.{name}"
    for length in range(len(place), 0, -1):
        name = ".".join(map(str, place[:length]))
        if name in FIELDS or name == "labels":
            return name
        if name in OPTIONAL:
            return OPTIONAL[name]
    return WHOLE


def _in_percent(problem: ErrorDetails) -> ErrorDetails:
    """Return a problem with its limits in percent, if its field is in percent."""
    if ".".join(map(str, problem["loc"])) not in PERCENT or "ctx" not in problem:
        return problem
    limits = {name: 100 * limit if isinstance(limit, (int, float)) else limit for name, limit in problem["ctx"].items()}
    return {**problem, "ctx": limits}
