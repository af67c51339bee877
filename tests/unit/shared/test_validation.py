"""What is wrong with a value, in the product's words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, get_args

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core.core_schema import ErrorType

from shared.messages import Name
from shared.validation import PATTERNS, describe, first_problem

FOREIGN = re.compile(r"Input should|Field required|Extra inputs|should match|Value error|\\^|valid ", re.IGNORECASE)
"""Words of the library."""


class Order(BaseModel):
    """A field of each kind."""

    model_config = ConfigDict(extra="forbid")

    name: Name = "line-1"
    count: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    whole: bool = True
    kind: Literal["fp32", "int8"] = "fp32"
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = Field(default_factory=lambda: ["a"])
    counts: dict[str, int] = Field(default_factory=dict)
    at: AwareDatetime | None = None
    day: datetime | None = None
    wait: timedelta | None = None
    colour: str = "red"

    @field_validator("colour")
    @classmethod
    def _is_named(cls, value: str) -> str:
        if value != "red":
            raise ValueError("give the name of a colour, such as red")
        return value


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"nmae": 1}, "there is no such field"),
        ({"name": "a/b"}, "give letters, digits, _ and -, after a letter or digit"),
        ({"name": ""}, "give 1 or more characters"),
        ({"name": "a" * 65}, "give 64 characters at most"),
        ({"name": 7}, "give a text"),
        ({"count": "many"}, "give a whole number"),
        ({"count": 0}, "give 1 or more"),
        ({"count": 10}, "give 9 or less"),
        ({"share": "half"}, "give a number"),
        ({"share": 0}, "give more than 0"),
        ({"share": 1}, "give less than 1"),
        ({"whole": "perhaps"}, "give true or false"),
        ({"kind": "int4"}, "give 'fp32' or 'int8'"),
        ({"names": "a"}, "give a list"),
        ({"names": []}, "give 1 or more"),
        ({"names": ["a", "b", "c"]}, "give no more than 2"),
        ({"counts": [1]}, "give fields with names"),
        ({"at": "soon"}, "give a time such as"),
        ({"at": "2026-01-31T06:00:00"}, "give a time with its zone"),
        ({"day": "soon"}, "give a time such as"),
        ({"wait": "long"}, "give a number of seconds"),
        ({"colour": "loud"}, "give the name of a colour, such as red"),
    ],
)
def test_an_error_says_what_to_give_instead(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Order.model_validate(given)
    assert first_problem(wrong.value).startswith(says)
    assert not FOREIGN.search(first_problem(wrong.value))


VALUES = dict.fromkeys(
    ("min_length", "max_length", "gt", "ge", "lt", "le", "multiple_of", "expected", "error", "pattern"), 1
)
"""Values of an error."""


def test_no_error_of_the_library_is_shown_in_its_own_words() -> None:
    for kind in get_args(ErrorType):
        if kind not in ("value_error", "assertion_error"):
            said = describe({"type": kind, "msg": "Input should be a valid thing", "ctx": VALUES})
            assert not FOREIGN.search(said), kind


def test_an_error_of_the_product_keeps_its_words() -> None:
    assert describe({"type": "conflict", "msg": "the key b is taken"}) == "the key b is taken"


def test_what_each_pattern_allows_is_said_in_words() -> None:
    root = Path(__file__).parents[3]
    sources = [path.read_text() for folder in ("shared", "services") for path in (root / folder).rglob("*.py")]
    patterns = {found for text in sources for found in re.findall(r'pattern=r?"([^"]+)"', text)}
    assert len(patterns) > 10
    assert patterns - PATTERNS.keys() == set()
