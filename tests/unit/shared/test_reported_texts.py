"""Every sentence that another service reports, and that a page shows, has a German translation."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Final

import pytest

from shared.contracts.retention_rules import RetentionRule
from shared.datasets.coverage import coverage_warnings
from shared.language import reported, speak, translated
from tests.unit.test_compose import ROOT

ERRORS: Final = {
    "services/camera": {"CameraError", "Disconnected", "DriverHung", "UnusableImage", "WrongSize"},
    "services/dashboard": {"UnreadableMedia", "BrokerUnavailable", "StorageUnavailable"},
    "services/inference": {"BundleError", "Reject"},
    "services/explainer": {"BundleError", "Reject", "RetryLater"},
    "services/gateway": {"CannotChange", "OutputUnavailable", "OutputRefused", "Reject"},
    "services/trainer": {
        *(
            "BundleError",
            "CheckpointError",
            "DatasetError",
            "DivergedTraining",
            "NotComparable",
            "Reject",
            "RecipeError",
            "UnequalVariant",
        ),
        *("UnevenBatch", "UnfitArchitecture", "WeightsError", "WrongOption", "WrongThresholds", "_Refusal"),
    },
    "shared": {
        *("DatasetVersionError", "ModbusUnavailable", "NotAligned", "RecipeError", "EngineError", "UnreadableImage"),
        *("ObjectNotFound", "ObjectTooLarge", "PlcUnavailable", "BundleError", "DatasetError", "NoSuchImage"),
        *("ReferencesError", "StorageUnavailable", "_WrongRow"),
    },
}
"""The errors whose messages become the reason of a training, a promotion, a camera, an output, a verdict or a parked
message, or that an upload or a request is refused with, by folder."""
OF_RECIPES: Final = ("shared/recipe.py", "shared/label_names.py")
"""Modules whose ValueErrors are shown beside the fields of a recipe."""
REPORTING: Final = {"on_stage", "error_judgement", "Unexplained", "_report"}
"""Functions and classes whose first argument is reported."""
REASONS: Final = frozenset({"reason"})
"""Keywords that are reported."""
VALUE: Final = "x7"
"""Stands for each value in a sentence."""
DATASETS: Final = ("shared/datasets/", "services/trainer/datasets/")
"""Folders whose problems of labelled images are shown: see `problems_of_images`."""


def sentences(source: str, errors: Collection[str]) -> Iterator[str]:
    """Yield the sentences that the source of a module reports, with `VALUE` for each value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in errors:
            for argument in node.exc.args[:1]:
                yield from map(_sentence, argument.elts if isinstance(argument, ast.List) else [argument])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in REPORTING:
            yield from map(_sentence, node.args[:1])
        elif isinstance(node, ast.keyword) and node.arg in REASONS:
            yield _sentence(node.value)


def problems_of_images(source: str) -> Iterator[str]:
    """Yield the problems of labelled images, and what is said to be left out, of the source of a module.

    They are the texts of `Problem`, of variables named ``text``, of functions named ``…_message``, and the keys of
    ``skipped``.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="Problem"), args=[_, text, *_]):
                yield _sentence(text)
            case ast.Assign(targets=[ast.Name(id="text")], value=text):
                yield _sentence(text)
            case ast.FunctionDef(name=name) if name.endswith("_message"):
                yield from (
                    _sentence(each.value) for each in ast.walk(node) if isinstance(each, ast.Return) and each.value
                )
            case ast.Subscript(value=ast.Name(id="skipped") | ast.Attribute(attr="_skipped"), slice=description):
                if skipped := _sentence(description):
                    yield re.sub(rf"^{VALUE} (of|without)", r"boxes \1", skipped) + ": 7"


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
        if "/cli/" not in module:
            yield from sentences(path.read_text(), ERRORS[folder] | ({"ValueError"} if module in OF_RECIPES else set()))
        if module.startswith(DATASETS):
            yield from problems_of_images(path.read_text())


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
    warnings = coverage_warnings(NAMES, ROWS, ["a", "a", "b" if groups == 2 else "a"])
    assert len(warnings) == 4
    assert [warning for warning in warnings if reported(warning) == warning] == []


@pytest.mark.parametrize(
    ("rule", "translation"),
    [
        (RetentionRule(), "für immer"),
        (RetentionRule(days=30), "30 Tage"),
        (RetentionRule(days=30, size=5_000_000_000), "30 Tage oder 5 GB"),
    ],
)
def test_a_retention_rule_is_translated(rule: RetentionRule, translation: str) -> None:
    assert translated(str(rule)) == translation


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    inner = "broken image: a PNG without its end"
    assert reported(f"its image is gone: {inner}").endswith(reported(inner))
    assert reported(inner) != inner


@pytest.mark.parametrize(
    ("sentence", "translation"),
    [
        (
            "labels.csv, line 3: b.png is not there: put it into seams.zip, or remove the row "
            "(and 4 more of this kind: lines 3-5, 9)\nand 2 more",
            "labels.csv, Zeile 3: b.png ist nicht vorhanden: in seams.zip ablegen oder die Zeile entfernen "
            "(und 4 weitere dieser Art: Zeilen 3-5, 9)\nund 2 weitere",
        ),
        (
            "labels.csv, line 4: a.png is listed twice, see labels.csv, line 2: keep one of the two",
            "labels.csv, Zeile 4: a.png ist zweimal aufgeführt, siehe labels.csv, Zeile 2: eines von beiden behalten",
        ),
        (
            "COCO (annotations.json): 330 images, 3 labels, 1204 boxes; used: 328 images, 1190 boxes; left out: boxes "
            "without an area in the image: 10, images whose file is not there: 2",
            "COCO (annotations.json): 330 Bilder, 3 Merkmale, 1204 Rechtecke; verwendet: 328 Bilder, 1190 Rechtecke; "
            "ausgelassen: Rechtecke ohne Fläche im Bild: 10, Bilder, deren Datei fehlt: 2",
        ),
        (
            "2 names differ from their files in the extension, upper and lower case (labels.csv, lines 2-3: A.jpg is "
            "a.png), and were accepted",
            "2 Namen weichen von ihren Dateien ab: Endung, Groß- und Kleinschreibung (labels.csv, Zeilen 2-3: A.jpg "
            "ist a.png); sie wurden angenommen",
        ),
        (
            "annotations.json: is not in the format COCO: field images: missing: give a value: export it again",
            "annotations.json: hat nicht das Format COCO: Feld images: fehlt: einen Wert angeben: neu exportieren",
        ),
        (
            "train.json, item 2: can't be read (field annotations.0.bbox: give 4 or more): correct it, or remove it",
            "train.json, Element 2: nicht lesbar (Feld annotations.0.bbox: mindestens 4 angeben): berichtigen oder "
            "entfernen",
        ),
        (
            "3 images (a.png, …) without a row, not used: label them, or remove them",
            "3 Bilder (a.png, …) ohne Zeile, nicht verwendet: annotieren oder entfernen",
        ),
        (
            "2 images (1.png, …) that groups.csv does not list: each counts as its own group, so list them",
            "2 Bilder (1.png, …), die groups.csv nicht aufführt: jedes gilt als eigene Gruppe, also dort aufführen",
        ),
        (
            "images/groups.csv is not read: move it to the top of the dataset's folder",
            "images/groups.csv wird nicht gelesen: in den obersten Ordner des Datensatzes verschieben",
        ),
    ],
)
def test_the_problems_of_labelled_images_are_translated_with_their_places(sentence: str, translation: str) -> None:
    assert reported(sentence) == translation


def test_a_percent_sign_stays_one() -> None:
    hint = "in its user and password, write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, ] as %5D and "
    assert "als %23 schreiben" in reported(f"{hint}% as %25")
