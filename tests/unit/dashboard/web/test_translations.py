"""Every text of the pages and reports is marked, and translated into every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from jinja2 import nodes

from services.dashboard.web.templating import FOLDERS, templates
from shared.language import ENGLISH, LANGUAGES, catalogue
from tests.unit.test_compose import ROOT

TRANSLATED: Final = [each for each in LANGUAGES if each != ENGLISH]
REPORTS: Final = ROOT / "services/trainer/evaluation/report/templates"
TEMPLATES: Final = sorted(file for folder in (*FOLDERS, REPORTS) for file in folder.glob("*.html"))
SCRIPTS: Final = sorted((ROOT / "services/dashboard/web/static").glob("*.js"))
PLACES: Final = re.compile(r"%\(\w+\)[srd]|\{\w+\}")
NAMES: Final = frozenset({"Seamline", "CSV", "JSON", "API"})
"""Words that are the same in every language."""
JINJA: Final = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
AS_IT_IS: Final = re.compile(r"<(script|style|code|kbd)\b[^>]*>.*?</\1>", re.DOTALL)
ATTRIBUTES: Final = re.compile(r'\b(?:title|alt|aria-label|placeholder)="([^"]*)"')
MACROS_ATTRIBUTE: Final = re.compile(r'[\w-]+="[^"]*"')
"""An attribute that a macro returns, outside of a tag."""
YAML: Final = "name: seam&#10;task: multi-label&#10;labels: …"
WORDS: Final = re.compile(r"[^\W\d_]{2,}")
PROSE: Final = re.compile(r"[A-Za-z]{3,} [a-z]{2,}|^[A-Z][a-z]{2,}…?$")
KEYS_AND_HEADERS: Final = frozenset({"Accept", "Arrow", "Enter", "Escape", "Reason", "Verdict", "use strict"})
STRINGS: Final = re.compile(r'//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`')
CALLED: Final = re.compile(
    r'(?:gettext\(|ngettext\("[^"]*",|(?:querySelector|querySelectorAll|matches|closest)(?:\?\.)?\()\s*$'
)
MARKING: Final = frozenset({"_", "ngettext", "pgettext"})


def extracted() -> set[tuple[str | None, str | tuple[str, ...]]]:
    """Return the texts in the code, each with its context, as ``make translations`` finds them."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    keywords = {**DEFAULT_KEYWORDS, "marked": None}
    found = set()
    for folder in ("services/dashboard", "services/trainer", "shared"):
        for _, _, message, _, context in extract_from_dir(ROOT / folder, methods, options, keywords):
            found.add((context, message))
    return found


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_catalogue_has_exactly_the_texts_of_the_code(language: str) -> None:
    known = {(message.context, message.id) for message in catalogue(language) if message.id}
    texts = extracted()
    assert sorted(map(str, texts - known)) == [], "run make translations, and translate the new texts"
    assert sorted(map(str, known - texts)) == [], "run make translations: these texts are in the code no more"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_with_the_same_places(language: str) -> None:
    found: Catalog = catalogue(language)
    for message in found:
        if not message.id:
            continue
        english = [message.id] if isinstance(message.id, str) else list(message.id)
        other = [message.string or ""] if not isinstance(message.string, (list, tuple)) else list(message.string)
        assert not message.fuzzy, f"{message.id}: check the translation, and remove `fuzzy`"
        assert all(other), f"{message.id} is not translated"
        assert len(other) == (found.num_plurals if len(english) > 1 else 1), message.id
        assert {place for text in english for place in PLACES.findall(text)} == {
            place for text in other for place in PLACES.findall(text)
        }, message.id


def unmarked_texts(source: str) -> Iterator[str]:
    """Yield the texts of a template that are in no call of ``_``."""
    html = AS_IT_IS.sub("", JINJA.sub(" ", source))
    texts = [MACROS_ATTRIBUTE.sub("", text) for text in re.split(r"<[^>]*>", html)]
    for text in [*ATTRIBUTES.findall(html), *texts]:
        if text != YAML and set(WORDS.findall(re.sub(r"&#?\w+;", " ", text))) - NAMES:
            yield text.strip()
    yield from _unmarked_values(templates.env.parse(source))


def _unmarked_values(node: nodes.Node) -> Iterator[str]:
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Call) and isinstance(child.node, nodes.Name) and child.node.name in MARKING:
            for value in child.kwargs:
                yield from _unmarked_values(value)
        elif isinstance(child, nodes.Const):
            if isinstance(child.value, str) and PROSE.search(child.value):
                yield child.value
        elif isinstance(child, nodes.Pair):
            yield from _unmarked_values(nodes.Output([child.value]))
        elif not isinstance(child, (nodes.TemplateData, nodes.Compare)) and not _is_as_it_is(child):
            yield from _unmarked_values(child)


def _is_as_it_is(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in ("clock", "code")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_every_text_of_a_template_is_marked(template: Path) -> None:
    assert list(unmarked_texts(template.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Hello</p>",
        '<p title="Hello"></p>',
        '<p>{{ "hello there" }}</p>',
        '<p>{{ _("Hello %(name)s", name="dear friend") }}</p>',
        '{% set titles = {404: "Not found"} %}',
    ],
)
def test_an_unmarked_text_of_a_template_is_found(source: str) -> None:
    assert list(unmarked_texts(source)) != []


def unmarked_strings(source: str) -> Iterator[str]:
    """Yield the strings of a script that are prose, and in no call of ``gettext``."""
    for found in STRINGS.finditer(source):
        text, before, after = found.group(), source[: found.start()], source[found.end() :]
        is_key = re.search(r"[{,]\s*$", before) and after.startswith(":")
        if text.startswith("//") or is_key or CALLED.search(before) or "gettext(" in text:
            continue
        if PROSE.search(text[1:-1]) and text[1] not in "<#[." and text[1:-1] not in KEYS_AND_HEADERS:
            yield text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_every_text_of_a_script_is_marked(script: Path) -> None:
    assert list(unmarked_strings(script.read_text())) == []


@pytest.mark.parametrize("source", ['node.textContent = "Not found";', "warn(`no frame of ${line}`);", 'show("Live");'])
def test_an_unmarked_text_of_a_script_is_found(source: str) -> None:
    assert list(unmarked_strings(source)) != []
