"""Read labelled images of any kind that is known: the door of `train --data`, `dataset import` and uploads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.datasets.annotations import Annotations, dataset_of_annotations
from shared.datasets.formats import class_folders, class_table, coco, cvat, datumaro, label_studio, voc, yolo
from shared.datasets.good_only import good_only
from shared.datasets.labelled_images import Dataset, OnProblem, find_tables, other_tables, read_tables
from shared.datasets.scratch import scratch_folder
from shared.datasets.tables import DatasetError
from shared.datasets.zip_file import unpacked
from shared.recipe import Recipe, Task


@dataclass(frozen=True)
class Format:
    """A kind of datasets: how it is recognised, and how it is read."""

    kind: str
    find: Callable[[Path], Sequence[Path]]
    """Return the files of this kind in a folder; none if there is no dataset of it."""
    read: Callable[[Sequence[Path], Path], Annotations]


FORMATS: Final = (
    Format(coco.KIND, coco.find_coco, coco.read_coco),
    Format(datumaro.KIND, datumaro.find_datumaro, datumaro.read_datumaro),
    Format(label_studio.KIND, label_studio.find_label_studio, label_studio.read_label_studio),
    Format(yolo.KIND, yolo.find_yolo, yolo.read_yolo),
    Format(cvat.KIND, cvat.find_cvat, cvat.read_cvat),
    Format(voc.KIND, voc.find_voc, voc.read_voc),
    Format(class_table.KIND, class_table.find_class_tables, class_table.read_class_tables),
)
"""Formats whose files are recognised by their content, besides tables of labels."""
SPREADSHEETS: Final = (".xlsx", ".xls", ".ods", ".numbers")


def read_dataset(
    source: Path,
    label_names: Sequence[str] = (),
    *,
    task: Task | None = None,
    on_problem: OnProblem = "stop",
    all_good: bool = False,
) -> Dataset:
    """Read labelled images. The images are not opened, except where their size is needed for masks.

    Args:
        source: a folder, a zip of one, or one file of annotations with its images beside it.
        label_names: the labels of the recipe, in its order; empty for those of the data.
        task: exclusive: exactly one label of each image must be true; None: as the data says.
        on_problem: what happens to a wrong row.
        all_good: read images without labels as images of good parts, with the label ``good``.

    Raises:
        DatasetError: there is nothing to read, a label of the recipe is missing, no image is left, or (``stop``) a row
            is wrong.
    """
    if source.suffix.lower() == ".zip" and source.is_file():
        source = unpacked(source, scratch_folder())
    folder = source if source.is_dir() else source.parent
    only = None if source.is_dir() else source
    if not source.exists():
        raise DatasetError([f"{source}: no such folder: give a folder of labelled images, or a zip of one"])
    tables = [path for path in find_tables(folder) if only in (None, path)]
    classes = class_table.find_class_tables(folder, tables) if tables else []
    found = class_table.read_class_tables(classes, folder) if classes else None
    if not tables:
        found = annotations_in(folder, only)
        tables = [] if found else [path for path in other_tables(folder) if only in (None, path)]
    if found is None and not tables:
        paths = class_folders.find_class_folders(folder) if only is None else []
        if not paths and all_good and only is None:
            return dataset_of_annotations(class_folders.read_good_images(folder), folder, on_problem=on_problem)
        if not paths:
            raise DatasetError([nothing_known(folder, only)])
        found = class_folders.read_class_folders(paths, folder)
    if found is None:
        return read_tables(folder, tables, label_names, task=task, on_problem=on_problem)
    return dataset_of_annotations(found, folder, label_names, task=task, on_problem=on_problem)


def read_for_recipe(source: Path, recipe: Recipe, on_problem: OnProblem = "stop") -> Dataset:
    """Read labelled images with the labels of a recipe; errors are those of `read_dataset` and `not_good`."""
    if recipe.good_by is None:
        return read_dataset(source, recipe.label_names, task=recipe.task, on_problem=on_problem)
    return good_only(read_dataset(source, on_problem=on_problem), recipe)


def annotations_in(folder: Path, only: Path | None) -> Annotations | None:
    """Read the one format that a folder holds, or that a file is of; None if there is none.

    Raises:
        DatasetError: the folder holds several.
    """
    found = {each: paths for each in FORMATS if (paths := [path for path in each.find(folder) if only in (None, path)])}
    if len(found) > 1:
        named = " and ".join(f"{each.kind} ({paths[0].relative_to(folder)})" for each, paths in found.items())
        raise DatasetError([f"{folder}: holds {named}: name the file of one of them instead of the folder"])
    for each, paths in found.items():
        return each.read(paths, folder)
    return None


def nothing_known(folder: Path, only: Path | None) -> str:
    """Say that there is no dataset, and what is near to one."""
    what = (
        "put labels.csv there, with name and labels, or give a folder per class, or an export of COCO, YOLO, "
        "Pascal VOC, CVAT, Label Studio or Datumaro (docs/datasets.md)"
    )
    if only:
        return f"{only}: is no table or export that is known: {what}"
    sheets = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in SPREADSHEETS]
    if sheets:
        return f"{folder}: no table: save {sheets[0]} as CSV in UTF-8, named labels.csv"
    return f"{folder}: no table: {what}"
