"""Read labelled images in any supported format: for `train --data`, `dataset import` and uploads."""

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
from shared.datasets.zip_file import unpack
from shared.recipe import Recipe, Task


@dataclass(frozen=True)
class Format:
    """A format of datasets: how it is recognised, and how it is read."""

    kind: str
    find: Callable[[Path], Sequence[Path]]
    """Return the files of this format in a folder; none if the folder has no dataset of this format."""
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
SPREADSHEET_EXTENSIONS: Final = (".xlsx", ".xls", ".ods", ".numbers")


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
        source: a folder, a zip of a folder, or one file of annotations with its images beside it.
        label_names: the labels of the recipe, in its order; empty: the labels of the data.
        task: exclusive: exactly one label of each image must be true; None: as the data says.
        on_problem: what happens to a row that can't be used.
        all_good: read images without labels as images of good parts, with the label ``good``.

    Raises:
        DatasetError: there is nothing to read, a label of the recipe is missing, no image is left, or (``stop``) a row
            is wrong.
    """
    if source.suffix.lower() == ".zip" and source.is_file():
        source = unpack(source, scratch_folder())
    folder = source if source.is_dir() else source.parent
    only_file = None if source.is_dir() else source
    if not source.exists():
        raise DatasetError([f"{source}: no such folder: give a folder of labelled images, or a zip of a folder"])
    tables = [path for path in find_tables(folder) if only_file in (None, path)]
    class_tables = class_table.find_class_tables(folder, tables) if tables else []
    annotations = class_table.read_class_tables(class_tables, folder) if class_tables else None
    if not tables:
        annotations = read_annotations(folder, only_file)
        tables = [] if annotations else [path for path in other_tables(folder) if only_file in (None, path)]
    if annotations is None and not tables:
        paths = class_folders.find_class_folders(folder) if only_file is None else []
        if not paths and all_good and only_file is None:
            return dataset_of_annotations(class_folders.read_good_images(folder), folder, on_problem=on_problem)
        if not paths:
            raise DatasetError([no_dataset_message(folder, only_file)])
        annotations = class_folders.read_class_folders(paths, folder)
    if annotations is None:
        return read_tables(folder, tables, label_names, task=task, on_problem=on_problem)
    return dataset_of_annotations(annotations, folder, label_names, task=task, on_problem=on_problem)


def read_for_recipe(source: Path, recipe: Recipe, on_problem: OnProblem = "stop") -> Dataset:
    """Read labelled images with the labels of a recipe; if it has ``good_by``, with its one label for parts not good.

    Raises:
        DatasetError: as `read_dataset` and `good_only` raise it.
    """
    if recipe.good_by is None:
        return read_dataset(source, recipe.annotated.label_names, task=recipe.task, on_problem=on_problem)
    return good_only(read_dataset(source, on_problem=on_problem), recipe, on_problem)


def read_annotations(folder: Path, only_file: Path | None) -> Annotations | None:
    """Read the annotations of a folder or of one file; None if they are in no format of `FORMATS`.

    Raises:
        DatasetError: the folder has annotations in several formats.
    """
    files_by_format: dict[Format, list[Path]] = {}
    for format_ in FORMATS:
        paths = [path for path in format_.find(folder) if only_file in (None, path)]
        if paths:
            files_by_format[format_] = paths
    if len(files_by_format) > 1:
        formats = [f"{format_.kind} ({paths[0].relative_to(folder)})" for format_, paths in files_by_format.items()]
        raise DatasetError(
            [f"{folder}: holds {', '.join(formats)}: name the file of one of them instead of the folder"]
        )
    for format_, paths in files_by_format.items():
        return format_.read(paths, folder)
    return None


def no_dataset_message(folder: Path, only_file: Path | None) -> str:
    """Return the message that there is no dataset, with advice for what is there."""
    advice = (
        "put labels.csv there, with name and labels, or give a folder per class, or an export of COCO, YOLO, "
        "Pascal VOC, CVAT 1.1, Datumaro or Label Studio (docs/datasets.md)"
    )
    if only_file:
        return f"{only_file}: is not a table or export in a supported format: {advice}"
    sheets = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in SPREADSHEET_EXTENSIONS]
    if sheets:
        return f"{folder}: no table: save {sheets[0]} as CSV in UTF-8, named labels.csv"
    beside = class_folders.images_beside(folder)
    if beside and any(path.is_dir() for path in folder.iterdir()):
        advice += f". If its folders are classes, move the images beside them ({beside[0]}, …) away"
    if any("labels" in map(str.lower, path.relative_to(folder).parts[:-1]) for path in folder.rglob("*.txt")):
        return (
            f"{folder}: its label files look like YOLO's: put classes.txt there, with the name of each class in a line"
        )
    return f"{folder}: no table: {advice}"
