"""Lists in pages."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from services.dashboard.web.paging import ALL, Paging, cursor_of, newest, place_of
from services.dashboard.web.problems import Problem

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_all_of_a_list_is_one_page() -> None:
    assert ALL.page("cab", lambda letter: (0, letter)) == (["a", "b", "c"], None)
    assert ALL.page("", lambda letter: (0, letter)) == ([], None)


def test_the_last_page_says_that_it_is_the_last_even_when_it_is_full() -> None:
    first, more = Paging(limit=2).page("abcd", lambda letter: (0, letter))
    last = Paging(place_of(more), 2).page("abcd", lambda letter: (0, letter))
    assert (first, last) == (["a", "b"], (["c", "d"], None))


def test_a_page_begins_after_the_one_before_whatever_changed() -> None:
    _, more = Paging(limit=2).page("bdf", lambda letter: (0, letter))
    assert Paging(place_of(more), 2).page("abcefg", lambda letter: (0, letter))[0] == ["e", "f"]


def test_the_newest_comes_first_and_things_of_one_moment_by_name() -> None:
    things = [(START, "b"), (START + timedelta(microseconds=1), "c"), (START, "a")]
    assert ALL.page(things, lambda thing: newest(*thing))[0] == [things[1], things[2], things[0]]


@pytest.mark.parametrize(
    "cursor", ["", "x", "ü", "e30", "bnVsbA", "WzEsMl0x", "W0luZmluaXR5LCAiYSJd", "W05hTiwgImEiXQ"]
)
def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="before"):
        place_of(cursor)


def test_a_cursor_of_deep_json_is_refused() -> None:
    with pytest.raises(Problem, match="before"):
        place_of(base64.urlsafe_b64encode(b"[" * 40_000 + b"]" * 40_000).decode())


def test_a_cursor_leads_back_to_its_place() -> None:
    for place in ((0, "eva"), (-(10**15), "training-1"), (7, "ünï/1")):
        assert place_of(cursor_of(place)) == place
