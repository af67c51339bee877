"""Labels are called what people call them, by one rule at every door."""

from __future__ import annotations

import re
from pathlib import Path
from unicodedata import normalize

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.contracts.dataset import make_version
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.imaging.codec import encode
from shared.label_names import LabelName, ascii_caption, label_name, label_slug, same_label
from shared.messages import _FILE
from shared.recipe import RecipeError, parse_recipe
from shared.storage.port import KEY
from tests.models import painted

NAMES = [
    "break",
    "Größenfehler",
    "deep scratch",
    "crack/dent",
    'gut; "sehr" gut, 100 %',
    "..",
    "=1+1",
    "[red]",
    "裂纹",
    "трещина",
    "1.5:2|x",
    "no",
    "ß" * 64,
]


def recipe_with(name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'name: x\ntask: multi-label\nlabels:\n  "{quoted}": {{key: a, colour: red, role: defect}}\n'


@pytest.mark.parametrize("name", NAMES)
def test_a_printable_name_is_a_label_in_a_recipe_a_table_a_message_and_a_version(tmp_path: Path, name: str) -> None:
    recipe = parse_recipe(recipe_with(name))
    assert parse_recipe(recipe.to_yaml()).label_names == (name,)
    (tmp_path / "0.png").write_bytes(encode(painted("black"), "png"))
    quoted = name.replace('"', '""')
    (tmp_path / "labels.csv").write_text(f'name,"{quoted}"\n0.png,True\n', encoding="utf-8")
    assert read_dataset(tmp_path).label_names == (name,)
    assert read_dataset(tmp_path, recipe.label_names).examples[0].labels == (True,)
    assert TypeAdapter(LabelName).validate_python(name) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_slug_is_part_of_keys_and_urls(name: str) -> None:
    slug = label_slug(name)
    assert _FILE.fullmatch(f"heatmap.{slug}.png")
    assert KEY.fullmatch(f"frames/{slug}")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", slug)
    assert len(slug) <= 64


def test_slugs_of_plain_names_are_the_names_and_no_two_are_alike() -> None:
    assert label_slug("deep_scratch-2") == "deep_scratch-2"
    assert label_slug("Größe").startswith("Grosse.")
    assert len({label_slug(name) for name in (*NAMES, "crack dent", "crack-dent", "crack_dent")}) == len(NAMES) + 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("x" * 65, "64 characters at most"),
        ("a\u200bb", "U+200B"),
        ("a\u202eb", "U+202E"),
        ("a\x07b", "U+0007"),
        ("Name", "the column of the images"),
    ],
)
def test_other_names_are_refused_at_every_door_with_the_reason(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        label_name(name)
    with pytest.raises(ValidationError):
        TypeAdapter(LabelName).validate_python(name)
    with pytest.raises(RecipeError):
        parse_recipe(recipe_with(name))
    with pytest.raises(ValidationError):
        make_version("d", 1, [name], [], by="ada", source="x")
    (tmp_path / "0.png").write_bytes(encode(painted("black"), "png"))
    (tmp_path / "labels.csv").write_text(f'name,good,"{name}",bad\n0.png,True,True,True\n', encoding="utf-8")
    with pytest.raises(DatasetError):
        read_dataset(tmp_path)


def test_captions_of_images_are_ascii() -> None:
    assert ascii_caption("Größe tief") == "Grosse tief"
    assert ascii_caption("裂纹").startswith("label.")


def test_a_name_is_stored_in_one_spelling() -> None:
    assert label_name(normalize("NFD", " Größe   oben\u00a0links ")) == "Größe oben links"
    assert parse_recipe(recipe_with(normalize("NFD", "Größe"))).label_names == ("Größe",)
    assert same_label("good", ("Good", "bad")) == "Good"
    assert same_label("good", ("Good", "GOOD")) is None


def test_a_recipe_reads_its_labels_as_they_are_written() -> None:
    labels = "\n".join(
        f"  {name}: {{key: '{key}', colour: '#00000{key}', role: defect}}"
        for key, name in enumerate(("no", "yes", "1.0", "2026-01-01", "null"), start=1)
    )
    recipe = parse_recipe(f"name: x\ntask: multi-label\nlabels:\n{labels}\n")
    assert recipe.label_names == ("no", "yes", "1.0", "2026-01-01", "null")


def test_sixty_four_labels_are_read_by_all_doors_and_more_by_none(tmp_path: Path) -> None:
    def table(count: int) -> None:
        names = ",".join(f"c{number}" for number in range(count))
        (tmp_path / "labels.csv").write_text(f"name,{names}\n0.png,{','.join(['True'] * count)}\n")

    (tmp_path / "0.png").write_bytes(encode(painted("black"), "png"))
    table(64)
    names = read_dataset(tmp_path).label_names
    lines = "\n".join(f"  {name}: {{colour: '#0000{at:02x}', role: defect}}" for at, name in enumerate(names))
    assert parse_recipe(f"name: x\ntask: multi-label\nlabels:\n{lines}\n").labels[63].key is None
    table(65)
    with pytest.raises(DatasetError, match="65 labels: 64 at most"):
        read_dataset(tmp_path)
