"""The Markdown files have one width, and the links, commands and paths in them exist."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIDTH = 120
IGNORED = {".venv", "var", "dist", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in IGNORED or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FOLDERS = ("benchmarks", "deploy", "docs", "samples", "services", "shared", "tests")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADR_LINK = re.compile(r"\[ADR\s+(\d+)\]\([^)\s]*?(\d{4})-[\w-]+\.md")
FENCED = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
MODULE = re.compile(r"python -m ((?:benchmarks|deploy|samples|services|shared|tests)(?:\.\w+)*)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings of a page, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_prose_is_wrapped_at_one_width(page: Path) -> None:
    fenced = False
    too_long = []
    for number, line in enumerate(text_of(page).splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        is_prose = not fenced and not line.startswith(("|", "#", "!["))
        if is_prose and len(line) > WIDTH:
            too_long.append(number)
    assert too_long == []


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(text_of(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pages
def test_a_link_to_an_adr_names_its_number(page: Path) -> None:
    assert [(named, linked) for named, linked in ADR_LINK.findall(text_of(page)) if int(named) != int(linked)] == []


def test_each_adr_has_a_number_of_its_own_which_its_title_names() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.name for page in pages if not text_of(page).startswith(f"# {int(page.name[:4])}. ")] == []


@pages
def test_every_module_and_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = text_of(page)
    code = "\n".join([*FENCED.findall(text), *CODE.findall(text)])
    assert sorted(set(re.findall(r"^make ([a-z][a-z0-9-]*)", code, re.MULTILINE)) - targets) == []
    assert [name for name in sorted(set(MODULE.findall(text))) if find_spec(name) is None] == []


@pages
def test_every_path_of_the_repository_exists(page: Path) -> None:
    paths = {code for code in CODE.findall(text_of(page)) if code.split("/")[0] in FOLDERS and "/" in code}
    literal = {path for path in paths if re.fullmatch(r"[\w./-]+", path)}
    assert [path for path in sorted(literal) if not (ROOT / path).exists()] == []


def test_the_glossary_is_in_alphabetical_order_and_names_no_word_twice() -> None:
    words = re.findall(r"^- \*\*(.+?)\*\*:", text_of(ROOT / "docs" / "glossary.md"), re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
    assert len(words) > 50
