"""Texts, numbers and times in the language that a reader wants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from fastapi.sse import ServerSentEvent
from starlette.datastructures import Headers

from services.dashboard.labelling.annotations.annotation import AnnotationKind
from services.dashboard.live.endpoints import in_language
from services.dashboard.quality.filter import ComparedBy
from services.dashboard.statistics.windows import Subgroup
from services.dashboard.web.callers import Role
from services.dashboard.web.enumeration_words import WORDS
from services.dashboard.web.language_choice import language_of
from services.dashboard.web.templating import templates
from shared import language
from shared.contracts.operating_points import OperatingPointName
from shared.language import gettext, ngettext, reported, speak
from shared.messages import Verdict
from shared.recipe import LabelRole, parse_recipe
from shared.verdict import judge
from tests.unit.test_compose import ROOT


@pytest.fixture
def german() -> Iterator[None]:
    speak("de")
    yield
    speak("en")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "en"),
        ({"accept-language": "de-DE,de;q=0.9,en;q=0.8"}, "de"),
        ({"accept-language": "en-GB,en;q=0.9,de;q=0.8"}, "en"),
        ({"accept-language": "fr, de;q=0.5"}, "de"),
        ({"accept-language": "fr"}, "en"),
        ({"accept-language": "de;q=0, en"}, "en"),
        ({"accept-language": "*;;q=x, ,"}, "en"),
        ({"accept-language": "de", "cookie": "seamline-language=en"}, "en"),
        ({"accept-language": "en", "cookie": "seamline-language=de"}, "de"),
        ({"accept-language": "de", "cookie": "seamline-language=xx"}, "de"),
    ],
)
def test_a_cookie_goes_before_the_browsers_languages(headers: dict[str, str], expected: str) -> None:
    assert language_of(Headers(headers)) == expected


def test_english_is_written_as_it_is_in_the_code() -> None:
    assert gettext("camera %(camera)s: %(reason)s", camera="camera-1", reason="dark") == "camera camera-1: dark"
    assert ngettext("%(num)s camera", "%(num)s cameras", 2) == "2 cameras"
    assert (language.percent(0.1234), language.fixed(-0.5, 2, signed=True), language.plain(0.25)) == (
        "12.3%",
        "-0.50",
        "0.25",
    )
    assert language.written_time(datetime(2026, 3, 5, 6, 7, tzinfo=UTC), "minute") == "05 Mar 2026 06:07"


@pytest.mark.usefixtures("german")
def test_numbers_and_times_are_written_as_in_german() -> None:
    assert language.percent(0.1234) == "12,3\u00a0%"
    assert language.count(1234567) == "1\u202f234\u202f567"
    assert language.data_size(1_230_000_000) == "1,23 GB"
    assert language.fixed(0.5, 3) == "0,500"
    assert language.written_time(datetime(2026, 3, 5, 6, 7, tzinfo=UTC), "minute") == "05.03.2026 06:07"
    assert language.written_time(datetime(2026, 3, 5, 6, 7, tzinfo=UTC), "weekday") == "Do. 05.03."


@pytest.mark.usefixtures("german")
def test_a_finished_sentence_of_a_message_is_translated_with_its_values() -> None:
    assert reported("camera camera-1 has sent no report for 12 s") == "Kamera camera-1 hat seit 12 s nichts gemeldet"
    assert reported("camera camera-1 is failed: see the log") == "Kamera camera-1 ist ausgefallen: see the log"
    assert reported("7 s from capture to verdict; 30 frames wait") == (
        "7 s von der Aufnahme bis zum Prüfergebnis; 30 Aufnahmen warten"
    )
    assert reported("break, not good; unsure of bent") == "break, nicht good; unsicher bei bent"
    assert reported("not inspected: of 3 frames 1 missing or late and 2 unreadable") == (
        "nicht geprüft: von 3 Aufnahmen 1 fehlend oder zu spät und 2 nicht lesbar"
    )


@pytest.mark.usefixtures("german")
def test_an_unknown_sentence_and_the_name_of_a_label_stay_as_they_are() -> None:
    assert reported("dark") == "dark"
    assert reported("error, not dark") == "error, nicht dark"
    assert reported("a sentence of no service") == "a sentence of no service"
    assert reported(None) == ""


@pytest.mark.usefixtures("german")
def test_the_reason_of_a_verdict_is_translated() -> None:
    recipe = parse_recipe((ROOT / "samples/recipes/seam.yaml").read_text())
    good = recipe.label_names.index("good")
    fine = [float(place == good) for place in range(len(recipe.labels))]
    assert reported(judge(recipe, fine).reason) == "kein Fehler"
    assert "nicht good" in reported(judge(recipe, [0.0] * len(recipe.labels)).reason)


@pytest.mark.usefixtures("german")
def test_an_event_of_a_line_has_its_sentences_in_the_language_of_the_page() -> None:
    event = ServerSentEvent(
        event="line", raw_data='{"reason": "no camera is running", "line": "line-1", "cameras": []}'
    )
    assert in_language(event).raw_data == '{"reason": "keine Kamera l\\u00e4uft", "line": "line-1", "cameras": []}'
    untouched = ServerSentEvent(event="frame", raw_data='{"reason": "no fault"}')
    assert in_language(untouched) is untouched


def test_every_value_that_pages_show_as_a_word_is_in_the_catalogue() -> None:
    shown: tuple[type[StrEnum], ...] = (
        Role,
        Subgroup,
        ComparedBy,
        Verdict,
        AnnotationKind,
        LabelRole,
        OperatingPointName,
    )
    words = {str(value.value).replace("-", " ") for each in shown for value in each}
    assert words <= set(WORDS)


@pytest.mark.usefixtures("german")
def test_a_value_in_a_translated_sentence_of_a_template_is_escaped() -> None:
    page = templates.env.from_string('{{ _("Thresholds of %(version)s", version=name) }}').render(name="<b>")
    assert page == "Schwellen von &lt;b&gt;"
