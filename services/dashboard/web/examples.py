"""Examples for the OpenAPI document, made from the schemas: from the schema of a field, then from its name."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import JsonValue

Schema = dict[str, Any]

FRAME: Final = "01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042"
VERSION: Final = "20260131-120000-1f3a"
BY_NAME: Final[dict[str, JsonValue]] = {
    "architecture": "lite0-depths",
    "at": "2026-01-31T12:00:00Z",
    "baseline": VERSION,
    "batch": "batch-12",
    "by": "eva",
    "camera": "camera-1",
    "candidate": "20260207-083000-9d20",
    "colour": "#e6007e",
    "dataset": "seam-2026",
    "detail": "what to do about it",
    "fault": "break",
    "frame_id": FRAME,
    "unsure": "error",
    "url": f"/api/frames/{FRAME}/heatmaps/break",
    "overlay_url": f"/api/frames/{FRAME}/overlay",
    "label": "break",
    "labels": ["break"],
    "line": "line-1",
    "model_version": VERSION,
    "name": "break",
    "part": "part-77",
    "image_url": f"/api/frames/{FRAME}/image",
    "queue": "inference.frames",
    "reason": "fewer escapes on denim",
    "recipe": "seam",
    "requested_by": "eva",
    "session": "01JF6Z6TX4W8E1V2M6C3N9Q7RB",
    "source": "line-1",
    "training_id": "training-01JF6Z6TX4W8E1V2M6C3N9Q7RB",
    "version": VERSION,
    "worker": "inference-1",
}
"""Examples of fields that give none, by the name of the field."""
BY_FORMAT: Final = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "uri": "https://quality.plant.example/"}
OTHERWISE: Final = ("01JF6Z6TX4W8E1V2M6C3N9Q7RB", FRAME, "0f3c9a1b2d4e5f60718293a4", "sha256:" + 64 * "0")
"""Examples of texts with a pattern: the first that matches is used."""
KEYS: Final = "break"
"""Key of mappings, most of which are by label."""


def example_of(schema: Schema, schemas: dict[str, Schema], name: str = "") -> JsonValue:
    """Return a value that is valid by a schema.

    Args:
        schema: JSON Schema as in OpenAPI 3.1.
        schemas: the schemas that it may refer to, by name.
        name: the name of the field that has the schema.
    """
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    given = next((schema[key] for key in ("example", "const") if key in schema), None)
    given = given or next((schema[key][0] for key in ("examples", "enum") if schema.get(key)), None)
    if given is not None:
        value: JsonValue = given
        return value
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        described = {**choices[0], **({"default": schema["default"]} if schema.get("default") is not None else {})}
        return example_of(described, schemas, name)
    example: JsonValue = {}
    match schema.get("type"):
        case "object" if "properties" in schema:
            example = {field: example_of(of, schemas, field) for field, of in schema["properties"].items()}
        case "object" if schema.get("additionalProperties") not in (None, True, False, {}):
            example = {KEYS: example_of(schema["additionalProperties"], schemas)}
        case "array" if "prefixItems" in schema:
            example = [example_of(item, schemas) for item in schema["prefixItems"]]
        case "array":
            item = example_of(schema.get("items", {}), schemas, name.removesuffix("s"))
            example = [item] * max(1, int(schema.get("minItems", 1)))
        case "string":
            pattern = re.compile(schema.get("pattern", ""))
            texts = (schema.get("default"), BY_FORMAT.get(schema.get("format", "")), BY_NAME.get(name), name)
            valid = (each for each in (*texts, *OTHERWISE) if isinstance(each, str) and each and pattern.search(each))
            example = next(valid, "text")
        case "integer" | "number" as kind:
            example = _number(schema, whole=kind == "integer")
        case "boolean":
            example = bool(schema.get("default", False))
        case "null":
            example = None
    return example


def _number(schema: Schema, *, whole: bool) -> int | float:
    if isinstance(schema.get("default"), int | float):
        return int(schema["default"]) if whole else float(schema["default"])
    low: Any = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high: Any = schema.get("maximum", schema.get("exclusiveMaximum", 12 if whole else low + 1))
    return max(int(low), min(12, int(high))) if whole else float(low + high) / 2
