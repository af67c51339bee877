"""Every sentence that another service reports, and that a page shows, has a German translation."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final

import pytest

from services.dashboard.web.language import reported, speak
from shared.datasets.coverage import coverage_warnings
from tests.unit.test_compose import ROOT

ERRORS: Final = {
    "services/camera": {"CameraError", "Disconnected", "DriverHung", "UnusableImage", "WrongSize"},
    "services/inference": {"Reject"},
    "services/explainer": {"Reject", "RetryLater"},
    "services/gateway": {"OutputUnavailable", "OutputRefused", "Reject"},
    "services/trainer": {
        *("CheckpointError", "DivergedTraining", "NotComparable", "Reject", "RecipeError", "UnequalVariant"),
        *("UnevenBatch", "UnfitArchitecture", "WeightsError", "WrongOption", "WrongThresholds", "_Refusal"),
    },
    "shared": {
        *("DatasetVersionError", "ModbusUnavailable", "NotAligned", "RecipeError", "EngineError", "UnreadableImage"),
        *("ObjectNotFound", "ObjectTooLarge", "PlcUnavailable"),
    },
}
"""The errors whose messages become the reason of a training, a promotion, a camera, an output, a verdict or a parked
message, by folder."""
OF_RECIPES: Final = ("shared/recipe.py", "shared/label_names.py")
"""Modules whose ValueErrors are shown beside the fields of a recipe."""
REPORTING: Final = {"on_stage", "error_judgement", "Unexplained"}
"""Functions and classes whose first argument is reported."""
REASONS: Final = frozenset({"reason"})
"""Keywords that are reported."""
VALUE: Final = "x7"
"""Stands for each value in a sentence."""


def sentences(source: str, errors: Collection[str]) -> Iterator[str]:
    """Yield the sentences that the source of a module reports, with `VALUE` for each value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in errors:
            yield from map(_sentence, node.exc.args[:1])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in REPORTING:
            yield from map(_sentence, node.args[:1])
        elif isinstance(node, ast.keyword) and node.arg in REASONS:
            yield _sentence(node.value)


def _sentence(node: ast.expr) -> str:
    """Return a text as it may be reported; empty if it is no text."""
    sentence = ""
    match node:
        case ast.Constant(value=str(text)):
            sentence = text
        case ast.JoinedStr(values=parts):
            sentence = "".join(map(_sentence, parts))
        case ast.IfExp(body=first) | ast.FormattedValue(value=ast.IfExp(body=first)):
            sentence = _sentence(first)
        case ast.FormattedValue(value=ast.Name(id="hint") | ast.Call(func=ast.Name(id="encoding_hint"))):
            sentence = ""  # a further sentence, or nothing
        case ast.FormattedValue():
            sentence = VALUE
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sentence = _sentence(left) + _sentence(right)
    return sentence


def reported_in(folder: str) -> Iterator[str]:
    """Yield the sentences that the modules of a folder report, without those of the command line and of heatmaps."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        module = str(path.relative_to(ROOT))
        if "/cli/" not in module and not module.startswith("shared/explain/"):
            yield from sentences(path.read_text(), ERRORS[folder] | ({"ValueError"} if module in OF_RECIPES else set()))


def is_prose(sentence: str) -> bool:
    """Return whether a sentence has words of its own, beside its values."""
    return sum(word.isalpha() for word in sentence.replace(VALUE, " 7 ").split()) > 1


@pytest.fixture(autouse=True)
def german() -> Iterator[None]:
    speak("de")
    yield
    speak("en")


@pytest.mark.parametrize("folder", ERRORS)
def test_every_reported_sentence_is_translated(folder: str) -> None:
    found = list(filter(is_prose, reported_in(folder)))
    assert found, "the sentences of this folder are no longer found"
    untranslated = [sentence for sentence in found if reported(sentence) == sentence]
    assert untranslated == [], "add them to reported_texts.py, run make translations, and translate them"


@pytest.mark.parametrize(
    "source",
    [
        'raise CameraError(f"the lens of {name} has a crack: replace it")',
        'listener.on_stage("the lens of " f"{name} has a crack: replace it")',
        'Judgement(reason=f"the lens of {name} has a crack: replace it")',
    ],
)
def test_a_sentence_without_a_translation_is_found(source: str) -> None:
    (sentence,) = sentences(source, {"CameraError"})
    assert sentence == f"the lens of {VALUE} has a crack: replace it"
    assert is_prose(sentence)
    assert reported(sentence) == sentence


ROWS: Final = [(True, False, False), (True, True, False), (True, False, False)]
NAMES: Final = ("good", "dent", "scratch")


@pytest.mark.parametrize("groups", [1, 2])
def test_warnings_about_few_images_are_translated(groups: int) -> None:
    warnings = coverage_warnings(NAMES, ROWS, groups)
    assert len(warnings) == 4
    assert [warning for warning in warnings if reported(warning) == warning] == []


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    inner = "broken image: a PNG without its end"
    assert reported(f"its image is gone: {inner}").endswith(reported(inner))
    assert reported(inner) != inner


def test_a_percent_sign_stays_one() -> None:
    hint = "in its user and password, write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, ] as %5D and "
    assert "als %23 schreiben" in reported(f"{hint}% as %25")
