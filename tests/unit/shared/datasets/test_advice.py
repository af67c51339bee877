"""What an error of a dataset advises helps: each advice is followed, and the dataset is read."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.recipe import Task
from tests.other_tools import coco, cvat, images, label_studio, write_json, yolo

TABLE = "name,good,dent\n0.png,True,False\n1.png,False,True\n"
COCO = {
    "images": [{"id": 0, "file_name": "0.png"}],
    "categories": [{"id": 1, "name": "dent"}],
    "annotations": [{"image_id": 0, "category_id": 1}],
}

Step = Callable[[Path], object]


def table(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Step:
    """Return how a folder of two images with this table is made, or its table is replaced."""

    def write(folder: Path) -> None:
        if not folder.exists():
            images(folder / "images", "0.png", "1.png")
        (folder / name).write_text(text, encoding=encoding)

    return write


def steps(*all_: Step) -> Step:
    return lambda folder: [step(folder) for step in all_]


def json_file(document: object, name: str = "a.json") -> Step:
    return steps(lambda folder: images(folder, "0.png", "1.png"), lambda folder: write_json(folder / name, document))


def zipped(*names: str) -> Step:
    """Return how the zip of a dataset is made, with files of these names beside it."""

    def write(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        table(TABLE)(folder)
        with zipfile.ZipFile(folder / "set.zip", "w") as archive:
            for path in [*(folder / "images").iterdir(), folder / "labels.csv"]:
                archive.write(path, path.relative_to(folder))
            for name in names:
                archive.writestr(name, b"")

    return write


@dataclass(frozen=True)
class Case:
    fault: Step
    error: str
    advice: Step
    source: str = ""
    """What is read after the advice was followed, if it is not the folder."""
    labels: tuple[str, ...] = ()
    labels_after: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def replaced(name: str, before: str, after: str) -> Step:
    def write(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert before in text
        (folder / name).write_text(text.replace(before, after), encoding="utf-8")

    return write


def named(before: str, after: str) -> Step:
    return lambda folder: (folder / before).rename(folder / after)


def removed(name: str) -> Step:
    return lambda folder: (folder / name).unlink()


MANY = ["name", *(f"l{number}" for number in range(65))]
CASES = {
    "there is nothing": Case(lambda _folder: None, "no such folder: give a folder of labelled images", table(TABLE)),
    "there is no table": Case(
        lambda folder: images(folder / "images", "0.png", "1.png"),
        "put labels.csv there, with name and labels",
        table(TABLE),
    ),
    "a folder per class instead": Case(
        lambda folder: images(folder, "0.png"),
        "or give a folder per class",
        steps(removed("0.png"), lambda folder: images(folder, "good/0.png", "dent/1.png")),
    ),
    "images beside the folders of classes": Case(
        lambda folder: images(folder, "0.png", "good/1.png", "dent/2.png"),
        "If its folders are classes, move the images beside them (0.png, …) away",
        removed("0.png"),
    ),
    "a spreadsheet": Case(
        table("PK", "labels.xlsx"), "save labels.xlsx as CSV in UTF-8, named labels.csv", table(TABLE)
    ),
    "an old encoding": Case(
        table(TABLE.replace("dent", "Größe"), encoding="cp1252"), "save it as CSV in UTF-8", table(TABLE)
    ),
    "a column twice": Case(
        table(TABLE.replace("good", "dent")), "two columns are named 'dent': keep one", table(TABLE)
    ),
    "cells that hold the separator": Case(
        table("name,good,note\n0.png,True,a, b\n"),
        "put a cell that contains a separator in quotes",
        table('name,good\n"0.png",True\n'),
    ),
    "too many labels": Case(
        table(",".join(MANY) + "\n0.png" + ",True" * 65 + "\n"),
        "64 at most are read, so remove some",
        table(",".join(MANY[:-1]) + "\n0.png" + ",True" * 64 + "\n"),
    ),
    "a label that can't be seen": Case(
        table(TABLE.replace("dent", "de\u200bnt")), "a character that can't be seen (U+200B): remove it", table(TABLE)
    ),
    "a label called name": Case(
        json_file({**COCO, "categories": [{"id": 1, "name": "Name"}]}), "give the label another name", json_file(COCO)
    ),
    "a cell that says neither": Case(
        table(TABLE.replace("True", "perhaps")), "write True or False, or remove the column", table(TABLE)
    ),
    "the column of such a cell": Case(
        table(TABLE.replace("True", "perhaps")), "or remove the column", table("name,dent\n0.png,False\n1.png,True\n")
    ),
    "a row without its image": Case(
        table(f"{TABLE}9.png,True,False\n"),
        "9.png is not there: put it into",
        lambda folder: images(folder / "images", "9.png"),
    ),
    "the row of no image": Case(table(f"{TABLE}9.png,True,False\n"), "or remove the row", table(TABLE)),
    "a name of two images": Case(
        steps(lambda folder: images(folder / "images", "a/7.png", "b/7.png"), table("name,good\n7.png,True\n")),
        "can be one of 2 files (a/7.png, b/7.png): write the whole name",
        replaced("labels.csv", "7.png", "b/7.png"),
    ),
    "the wrong folder in a name": Case(
        steps(lambda folder: images(folder / "images", "a/7.png"), table("name,good\nb/7.png,True\n")),
        "a/7.png is: correct the folder in the name",
        replaced("labels.csv", "b/7.png", "a/7.png"),
    ),
    "an image twice": Case(
        table(f"{TABLE}0.png,True,False\n"),
        "is listed twice, see labels.csv, line 2: keep one of the two",
        table(TABLE),
    ),
    "an image with two labels": Case(
        table(TABLE.replace("False", "True")),
        "the recipe wants exactly one",
        table(TABLE),
        options={"task": Task.EXCLUSIVE},
    ),
    "a label that the recipe lacks": Case(
        table(TABLE),
        "remove the column, or add the label to the recipe",
        lambda _folder: None,
        labels=("good",),
        labels_after=("good", "dent"),
    ),
    "a column that the recipe lacks": Case(
        table(TABLE),
        "remove the column, or add the label to the recipe",
        table("name,good\n0.png,True\n1.png,False\n"),
        labels=("good",),
    ),
    "an image without a group": Case(
        steps(table(TABLE), table("name,group\n0.png,a\n", "groups.csv")),
        "1.png has no group: add it to groups.csv",
        table("name,group\n0.png,a\n1.png,b\n", "groups.csv"),
    ),
    "an empty group": Case(
        steps(table(TABLE), table("name,group\n0.png,a\n1.png,\n", "groups.csv")),
        "1.png has no group: add one",
        table("name,group\n0.png,a\n1.png,b\n", "groups.csv"),
    ),
    "two groups": Case(
        steps(table(TABLE), table("name,group\n0.png,a\n1.png,b\n1.png,c\n", "groups.csv")),
        "1.png is in 'b' already: give it one group",
        table("name,group\n0.png,a\n1.png,b\n", "groups.csv"),
    ),
    "groups of another header": Case(
        steps(table(TABLE), table("image,part\n0.png,a\n1.png,b\n", "groups.csv")),
        "the first line is name,group",
        table("name,group\n0.png,a\n1.png,b\n", "groups.csv"),
    ),
    "who labelled, with another header": Case(
        steps(table(TABLE), table("name,who\n0.png,ada\n", "labelled.csv")),
        "the first line is name,by,at",
        table("name,by,at\n0.png,ada,2026-01-31T12:00:00+00:00\n", "labelled.csv"),
    ),
    "a time without a zone": Case(
        steps(table(TABLE), table("name,by,at\n0.png,ada,yesterday\n", "labelled.csv")),
        "write a time with its zone, such as 2026-01-31T12:00:00+00:00",
        replaced("labelled.csv", "yesterday", "2026-01-31T12:00:00+00:00"),
    ),
    "two exports": Case(
        steps(coco, label_studio),
        "name the file of one of them instead of the folder",
        lambda _folder: None,
        source="project.json",
        options={"on_problem": "skip"},
    ),
    "a broken export": Case(
        steps(lambda folder: images(folder, "0.png"), table('{"images": [], "categories": [', "a.json")),
        "): export it again",
        json_file(COCO),
    ),
    "an export without a label": Case(
        json_file({**COCO, "categories": [], "annotations": []}),
        "no image has a label: label some, and export them again",
        json_file(COCO),
    ),
    "an export for videos": Case(
        steps(lambda folder: images(folder, "0.png"), table("<annotations><track/></annotations>", "annotations.xml")),
        "export it as `CVAT for images 1.1`",
        steps(removed("0.png"), cvat),
    ),
    "a class file with an alias": Case(
        steps(yolo, table("a: &x dent\nnames: [*x]\n", "data.yaml")),
        "has an alias (*): write it out",
        table("names: [Kratzer tief, dent]\n", "data.yaml"),
        options={"on_problem": "skip"},
    ),
    "a class file without names": Case(
        steps(yolo, table("nc: 2\n", "data.yaml")),
        "has no names: list the names of the classes there",
        table("nc: 2\nnames: [Kratzer tief, dent]\n", "data.yaml"),
        options={"on_problem": "skip"},
    ),
    "label files of YOLO without the names of classes": Case(
        steps(yolo, removed("data.yaml")),
        "put classes.txt there, with the name of each class in a line",
        table("Kratzer tief\ndent\n", "classes.txt"),
        options={"on_problem": "skip"},
    ),
    "a zip that leads out of itself": Case(
        zipped("../x.png"),
        "is a link, or a path outside of the folder: pack the zip without it",
        zipped(),
        source="set.zip",
    ),
    "a zip that is none": Case(
        steps(table(TABLE), table("PK", "set.zip")), "pack it again, without a password", zipped(), source="set.zip"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_an_error_advises_helps(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    folder = tmp_path / "set"
    case.fault(folder)
    before = folder / case.source if case.source.endswith(".zip") else folder
    with pytest.raises(DatasetError) as refused:
        read_dataset(before, case.labels, **{**case.options, "on_problem": "stop"})
    assert case.error in str(refused.value)
    case.advice(folder)
    assert read_dataset(folder / case.source, case.labels_after or case.labels, **case.options).examples
