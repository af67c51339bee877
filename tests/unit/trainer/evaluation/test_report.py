import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from services.trainer.datasets.pixels import PixelStore
from services.trainer.evaluation.evaluation_run import EvaluationRun, MeasuredOn
from services.trainer.evaluation.mistakes import LONGEST_SIDE, with_images
from services.trainer.evaluation.report.page import (
    HEATMAP_FIGURES,
    ReportContent,
    facts_of,
    render,
    report_files,
    variant_rows,
)
from services.trainer.evaluation.threshold_choice import choose_thresholds
from services.trainer.evaluation.threshold_curves import threshold_curves
from services.trainer.training.tried import Tried
from shared.contracts.bundle import REPORTS, ChosenBy
from shared.explain.metrics import FalseHeat, HeatmapScores, LabelHeatmaps, Measured, SizeClass
from shared.imaging.codec import decode, size_of
from shared.language import LANGUAGES
from shared.recipe import ImageSpec, Recipe, parse_recipe
from tests.unit.trainer.recipes import FRUIT, SEAM

GOOD, BROKEN = [1, 0, 1, 0], [0, 1, 1, 0]


@pytest.fixture
def seam() -> Recipe:
    return parse_recipe(SEAM)


def evaluated(recipe: Recipe, truth: np.ndarray, scores: np.ndarray) -> EvaluationRun:
    names = [f"{row}.png" for row in range(len(truth))]
    groups = [f"part-{row // 2}" for row in range(len(truth))]
    return EvaluationRun(recipe, names, groups, truth.astype(np.float32), scores.astype(np.float32))


def store_of(run: EvaluationRun, side: int = 32) -> PixelStore:
    """Return an image for each name, of one grey by its number."""
    count = len(run.names)
    pixels = np.zeros((count, side, side, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    return PixelStore(pixels, run.truth, ImageSpec(height=side, width=side), "")


def noisy(recipe: Recipe, count: int = 120) -> EvaluationRun:
    rng = np.random.default_rng(2)
    truth = np.array([GOOD, BROKEN, [1, 0, 0, 1]])[rng.integers(0, 3, count)]
    return evaluated(recipe, truth, np.clip(truth * 0.4 + 0.3 + rng.normal(0, 0.2, truth.shape), 0, 1))


@pytest.mark.parametrize("name", ["good", "break", "short", "twill"])
def test_a_threshold_curve_has_the_rates_of_the_recipe_with_that_threshold(seam: Recipe, name: str) -> None:
    seen = noisy(seam.model_copy(update={"defect_rate": 0.1}))
    points = seen.threshold_curves[name]
    assert len(points.thresholds) <= 100
    for place in (10, 50, 80):
        labels = tuple(
            label.model_copy(update={"threshold": points.thresholds[place]}) if label.name == name else label
            for label in seen.recipe.labels
        )
        moved = evaluated(seen.recipe.model_copy(update={"labels": labels}), seen.truth, seen.scores).evaluation
        assert points.escape_rate[place] == pytest.approx(moved.escape_rate, abs=1e-4)
        assert points.overkill_rate[place] == pytest.approx(moved.overkill_rate, abs=1e-4)
        assert points.cost[place] == pytest.approx(moved.cost, abs=1e-4)


def test_labels_that_exclude_each_other_have_no_thresholds_to_move() -> None:
    truth = np.array([[1, 0], [0, 1]], np.float32)
    assert threshold_curves(parse_recipe(FRUIT), truth, truth) == {}


def test_the_costliest_mistakes_come_first(seam: Recipe) -> None:
    truth = np.array([GOOD, BROKEN, GOOD, GOOD, BROKEN])
    said = np.array([GOOD, [0.9, 0.1, 1, 0], BROKEN, [1, 0, 1, 0.8], [0.6, 0.4, 1, 0]])
    worst = evaluated(seam, truth, said).worst_mistakes(10)
    assert [(each.name, each.kind, each.cost) for each in worst] == [
        ("1.png", "escape", 10),
        ("4.png", "escape", 10),
        ("2.png", "overkill", 1),
        ("3.png", "label", 0),
    ]
    assert worst[0].wrong == ("good", "break")
    assert worst[0].truth == ("break", "short")
    assert len(evaluated(seam, truth, said).worst_mistakes(2)) == 2


@pytest.mark.parametrize("side", [32, 600])
def test_the_images_of_mistakes_are_stored_small(seam: Recipe, side: int) -> None:
    seen = evaluated(seam, np.array([GOOD, BROKEN] * 4), np.array([GOOD] * 8))
    mistakes, shots = with_images(seen.worst_mistakes(3), store_of(seen, side), np.arange(8))
    assert [mistake.image for mistake in mistakes] == list(shots) == [f"mistake_0{number}.jpg" for number in (1, 2, 3)]
    for mistake, shot in zip(mistakes, shots.values(), strict=True):
        assert size_of(shot) == (min(side, LONGEST_SIDE), min(side, LONGEST_SIDE))
        assert decode(shot).mean() == pytest.approx(int(mistake.name.split(".")[0]), abs=2)


def subject(seen: EvaluationRun, *, measured_on: str = "the test split", **more: object) -> ReportContent:
    mistakes, shots = with_images(seen.worst_mistakes(5), store_of(seen), np.arange(len(seen.names)))
    proof = {"images": 90, "largest_score_difference": 0.004, "changed_verdicts": 3, "macro_average_precision": 0.9}
    objection = "it changes 3 of 90 verdicts (scores differ by up to 0.004)"
    _, points = choose_thresholds(seen.recipe, seen.truth, seen.scores, seen.groups)
    document = {
        "operating_points": points.model_dump(mode="json") if points else None,
        "best_epoch": 2,
        "warnings": ["few <images>"],
        "compiled": {"openvino_fp32": {**proof, "changed_verdicts": 0}},
        "not_offered": {"openvino_int8": {"reason": objection, "proof": proof}},
        **more,
    }
    history = [{"loss": 0.7, "val_loss": 0.6, "val_average_precision": 0.8}] * 3
    return ReportContent(
        version="20261123-0850-3f9a2c",
        facts=facts_of("compact", "cloth-3", datetime(2026, 11, 23, 8, 50, tzinfo=UTC), {"seed": 7}),
        measured_on=measured_on,
        run=seen,
        chosen_on="the validation split",
        curves=seen.threshold_curves,
        mistakes=mistakes,
        images=shots,
        history=history,
        document=document,
    )


def test_a_report_has_every_section_and_loads_nothing_else(seam: Recipe) -> None:
    seen = subject(noisy(seam))
    page = render(seen)
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Verdicts",
        "Operating points",
        "Correct answers",
        "Label by label",
        "Confusion",
        "Curves",
        "Thresholds",
        "Training",
        "Compiled variants",
        "Worst mistakes",
    ]
    assert page.count("<svg") == 3 + 4 + 2
    assert page.count("data:image/jpeg;base64,") == 5
    assert not re.findall(r"(?:src|href)=.(?!data:|#)[^>]*|<script|@import|url\(", page)
    assert "few &lt;images&gt;" in page
    assert "it changes 3 of 90 verdicts" in page
    assert "prefers-color-scheme: dark" in page
    assert render(seen) == page


def heatmaps() -> dict[str, Any]:
    """Return what `evaluation.json` says of heatmaps: those of one label are measured, those of another are not."""
    measured = {key: Measured(value=number / 100, low=0.123, high=0.987) for number, key in enumerate(HEATMAP_FIGURES)}
    known = LabelHeatmaps(
        images=40,
        for_label=True,
        curves=8,
        advantage=measured["pointing"],
        by_size=(SizeClass(smallest=0, largest=0.005, images=7, pointing=measured["pointing"]),),
        trustworthy=True,
        **measured,
    )
    unknown = {"trustworthy": None, "reason": "only 3 images have a mask", "for_label": False}
    no_interval = {"pointing": Measured(value=0.5, low=float("nan"), high=float("nan"))}
    labels = {"break": known, "good": known.model_copy(update={**unknown, **no_interval})}
    false_heat = FalseHeat(images=64, share=Measured(value=0.03, low=0.01, high=0.1), labels={})
    scores = HeatmapScores(
        method="layer-cam",
        layers=("features",),
        chosen_by=ChosenBy.PASTED,
        tolerance=0.05,
        labels=labels,
        false_heat=false_heat,
    )
    tried = {"defects": 48, "tried": [{"method": "layer-cam", "layers": ["features"], "pointing": 0.75}]}
    return {**json.loads(scores.model_dump_json()), **tried}


def test_a_report_shows_the_scores_of_heatmaps_beside_those_of_random_ones(seam: Recipe) -> None:
    page = render(subject(noisy(seam), heatmaps=heatmaps()))
    assert "Made by layer-cam at features, chosen by pasted defects" in page
    assert "Of 64 held-out good images, 3.0 % (1.0 % to 10.0 %) have heat for any label" in page
    assert "Chosen by 48 pasted defects of the training split" in page
    assert "layer-cam at features 0.750" in page
    assert "0.0 % to 0.5 % of the image: 0.000 of 7" in page
    assert "at most 5 % of the shorter side" in page
    part = page[page.index("<h2>Heatmaps</h2>") : page.index("<h2>Worst mistakes</h2>")]
    rows = [re.sub("<[^>]*>", " ", row).split() for row in part.split("<tr>")[2:]]
    for number in range(len(HEATMAP_FIGURES)):
        assert f"{number / 100:.3f}" in rows[0]
    assert rows[0].count("0.987") == len(HEATMAP_FIGURES)
    assert rows[1].count("0.987") == len(HEATMAP_FIGURES) - 1
    assert "yes" in rows[0]
    assert "unknown: only 3 images have a mask" in part
    assert "good (heatmap of its absence)" in part


def texts_of(page: str) -> list[str]:
    """Return the texts of a page and its charts, in order, also those for screen readers."""
    html = re.sub(r"<(style|desc)\b.*?</\1>", "", page, flags=re.DOTALL)
    found = re.findall(r'>([^<]+)(?=<)|(?:aria-label|alt)="([^"]*)"', html)
    return [text for each in found if (text := "".join(each).strip())]


def test_a_report_is_written_in_each_language(seam: Recipe) -> None:
    run = noisy(seam.model_copy(update={"defect_rate": 0.1}))
    image = "96 x 96 pixels, normalisation image"
    tried = [
        asdict(Tried(image=image, head="linear", log_loss=0.41, average_precision=0.9, seconds=90, chosen=True)),
        asdict(Tried(image=image, head="linear, without the deepest features", remark="not tried: no time was left")),
    ]
    curve = {"images": [40, 80], "labels": {"break": {"average_precision": [0.7, 0.8], "at_twice": 0.9}}}
    doubts = [{"name": "3.png", "label": "short", "labelled": True, "probability": 0.04}]
    more = {"heatmaps": heatmaps(), "tried": tried, "learning_curve": curve, "doubtful_labels": doubts}
    files = report_files(
        lambda: replace(
            subject(run, measured_on=MeasuredOn.TEST.in_words, **more),
            chosen_on=MeasuredOn.OUT_OF_FOLD.in_words,
        )
    )
    assert set(REPORTS) == set(LANGUAGES)
    english, german = (texts_of(files[REPORTS[language]].decode()) for language in ("en", "de"))
    assert len(english) == len(german)
    assert {"Arbeitspunkte", "Trefferquote", "Schwelle", "wenig Schlupf", "gemessen"} & set(german)
    same = {text for text, other in zip(english, german, strict=True) if text == other and re.search("[a-z]{2}", text)}
    names = {*seam.label_names, "compact", "cloth-3", "openvino_fp32", "openvino_int8", "few &lt;images&gt;"}
    foreign = {"Brier", "Heatmaps", "Loss", "Training", "ideal"}
    assert {each for each in same - names - foreign if not re.fullmatch(r"\d+\.png|part-\d+", each)} == set()
    numbers = [each for each in german if re.fullmatch(r"[-\d.,;%–\s]+", each)]
    assert len(numbers) > 100
    assert [each for each in numbers if re.search(r"\d\.\d", each)] == []


def test_a_report_of_exclusive_labels_has_a_confusion_matrix() -> None:
    truth = np.eye(2)[[0] * 12 + [1] * 9]
    said = np.eye(2)[[0] * 10 + [1] * 11] * 0.8 + 0.1
    page = render(subject(evaluated(parse_recipe(FRUIT), truth, said)))
    counts = re.findall(r'<td class="hit"[^>]*>(\d*)</td>', page)
    assert counts == ["10", "2", "", "9"]
    assert "Thresholds" not in re.findall("<h2>(.*?)</h2>", page)


def test_of_many_labels_those_with_the_lowest_average_precision_are_drawn() -> None:
    keys, names = "abcdefghijkl", [f"kind{number}" for number in range(12)]
    labels = "".join(
        f"  {name}: {{key: {key}, colour: '#0000{number:02d}', role: attribute}}\n"
        for number, (name, key) in enumerate(zip(names, keys, strict=True))
    )
    recipe = parse_recipe(f"name: many\ntask: exclusive\nlabels:\n{labels}")
    truth = np.eye(12)[np.arange(120) % 12]
    scores = truth * 0.5 + np.random.default_rng(0).random(truth.shape)
    page = render(subject(evaluated(recipe, truth, scores / scores.sum(axis=1, keepdims=True))))
    assert "The 8 labels of 12 with the lowest average precision." in page


def test_a_model_without_variants_or_mistakes_has_a_report_without_them(seam: Recipe) -> None:
    assert variant_rows({}) == []
    seen = evaluated(seam, np.array([GOOD, BROKEN] * 6), np.array([GOOD, BROKEN] * 6))
    page = render(ReportContent("v1", {}, "a folder", seen, "a folder", seen.threshold_curves))
    assert "Worst mistakes" not in page
    assert "Compiled variants" not in page
