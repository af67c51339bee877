"""What other tools write is read with its labels and its marked places, and counted."""

from __future__ import annotations

import csv
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pytest

from shared.datasets.formats import class_table
from shared.datasets.labelled_images import Dataset
from shared.datasets.mask_files import mask_name
from shared.datasets.reading import FORMATS, read_dataset
from shared.datasets.tables import DatasetError
from shared.imaging.codec import encode
from shared.recipe import Task
from tests.other_tools import (
    MARKED,
    SIDE,
    TRIANGLE,
    boxed,
    coco,
    datumaro,
    images,
    label_studio,
    triangle,
    voc,
    write_json,
    yolo,
)

ROOT = Path(__file__).parents[5]


def by_stem(dataset: Dataset) -> dict[str, Any]:
    return {each.image.stem: each for each in dataset.examples}


def mask(dataset: Dataset, stem: str, label: str) -> np.ndarray:
    example = by_stem(dataset)[stem]
    path = dict(example.masks)[mask_name(example.name, label)]
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127


@pytest.mark.parametrize("kind", MARKED)
def test_boxes_and_polygons_become_labels_and_masks(tmp_path: Path, kind: str) -> None:
    MARKED[kind](tmp_path)
    dataset = read_dataset(tmp_path, ("Kratzer tief", "dent"), on_problem="skip")
    found = by_stem(dataset)
    assert found["0"].labels == (True, False)
    assert found["1"].labels[1]
    assert found["2"].labels == (False, False), "an image without a marked place"
    assert np.array_equal(mask(dataset, "0", "Kratzer tief"), boxed())
    assert np.array_equal(mask(dataset, "1", "dent"), triangle())
    assert found["2"].masks == ()
    assert dataset.task is Task.MULTI_LABEL
    (balance,) = (each for each in dataset.warnings if each.startswith(kind))
    assert "3 images" in balance.partition("used: ")[2]
    assert not [each for each in dataset.warnings if "without a row" in each]


@pytest.mark.parametrize(
    "door",
    [
        "docs/datasets.md",
        "services/dashboard/labelling/templates/sources.html",
        "shared/locale/de/LC_MESSAGES/seamline.po",
        "services/dashboard/labelling/endpoints.py",
        "services/trainer/cli/commands.py",
        "services/trainer/cli/dataset_commands.py",
        "shared/datasets/reading.py",
    ],
)
def test_each_door_names_every_format(door: str) -> None:
    text = " ".join((ROOT / door).read_text(encoding="utf-8").replace('"', " ").split())
    tools = [each.kind.removesuffix(" 1.1") for each in FORMATS if each.kind != class_table.KIND]
    assert len(tools) >= 6
    assert [tool for tool in tools if tool not in text] == []


def test_what_is_left_out_is_counted_and_named_once(tmp_path: Path) -> None:
    coco(tmp_path)
    with pytest.raises(DatasetError, match=r"annotations.json, image 4: 3.png is not there"):
        read_dataset(tmp_path)
    (balance, *_) = read_dataset(tmp_path, on_problem="skip").warnings
    assert balance == (
        "COCO (annotations.json): 4 images, 2 labels, 2 boxes, 1 polygon; used: 3 images, 1 box, 1 polygon; "
        "left out: annotations of images that the file does not list: 1, boxes without an area in the image: 1, "
        "images whose file is not there: 1"
    )


def test_a_zip_of_an_export_is_read_as_its_folder(tmp_path: Path) -> None:
    yolo(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "set").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    assert len(read_dataset(tmp_path / "set.zip").examples) == 3


def test_a_folder_per_class_is_an_exclusive_label(tmp_path: Path) -> None:
    images(tmp_path, "Apfel/0.png", "Apfel/sub/1.png", "Größe zu klein/0.png", "Orange/3.jfif")
    dataset = read_dataset(tmp_path)
    assert dataset.task is Task.EXCLUSIVE
    assert dataset.label_names == ("Apfel", "Größe zu klein", "Orange")
    assert {each.name: each.labels.index(True) for each in dataset.examples} == {
        "Apfel/0.png": 0, "Apfel/sub/1.png": 0, "Größe zu klein/0.png": 1, "Orange/3.jfif": 2,
    }  # fmt: skip


def test_mvtec_has_its_classes_below_splits_and_masks_beside_them(tmp_path: Path) -> None:
    images(tmp_path, "train/good/000.png", "test/good/000.png", "test/cut/000.png")
    truth = tmp_path / "ground_truth" / "cut" / "000_mask.png"
    truth.parent.mkdir(parents=True)
    truth.write_bytes(encode(255 * boxed().astype(np.uint8), "png"))
    dataset = read_dataset(tmp_path)
    assert dataset.label_names == ("cut", "good")
    marked = [each for each in dataset.examples if each.masks]
    assert [each.name for each in marked] == ["test/cut/000.png"]
    assert not [each for each in dataset.warnings if "without a row" in each]
    assert dict(marked[0].masks) == {"masks_by_label/test/cut/000_cut.png": truth}


@pytest.mark.parametrize(
    ("columns", "rows", "task"),
    [
        (("image", "label"), [("0.png", "gut"), ("1.png", "tiefer Kratzer")], Task.EXCLUSIVE),
        (("filename", "Class"), [("0.png", "gut"), ("0.png", "rot"), ("1.png", "tiefer Kratzer")], Task.MULTI_LABEL),
        (
            ("image", "id", "choice", "annotator", "annotation_id"),
            [
                ("/data/upload/1/3fa2b1c0-0.png", "1", "gut", "1", "5"),
                ("/data/upload/1/4fa2b1c0-1.png", "2", '{"choices": ["tiefer Kratzer", "rot"]}', "1", "6"),
            ],
            Task.MULTI_LABEL,
        ),
    ],
)
def test_a_table_with_a_column_of_classes_is_read(
    tmp_path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]], task: Task
) -> None:
    images(tmp_path, "0.png", "1.png")
    with (tmp_path / "export.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([columns, *rows])
    dataset = read_dataset(tmp_path)
    assert dataset.task is task
    found = by_stem(dataset)
    assert found["0"].labels[dataset.label_names.index("gut")]
    assert found["1"].labels[dataset.label_names.index("tiefer Kratzer")]


def test_classes_that_differ_in_capitals_alone_are_one(tmp_path: Path) -> None:
    images(tmp_path / "folders", "train/Good/0.png", "test/good/1.png", "train/dent/2.png")
    images(tmp_path / "table", "0.png", "1.png", "2.png")
    (tmp_path / "table" / "a.csv").write_text("image,label\n0.png,Good\n1.png,GOOD\n2.png,dent\n")
    for folder in ("folders", "table"):
        dataset = read_dataset(tmp_path / folder)
        assert dataset.task is Task.EXCLUSIVE
        assert sorted(dataset.label_names) in (["Good", "dent"], ["dent", "good"], ["GOOD", "dent"])
        assert [sum(each.labels) for each in dataset.examples] == [1, 1, 1]
        assert sum(each.labels[dataset.label_names.index("dent")] for each in dataset.examples) == 1
        assert any("in capitals alone are taken for it" in each for each in dataset.warnings)


def test_annotations_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    tasks = [
        {
            "data": {"image": f"{number}.png"},
            "annotations": [
                {"result": [{"type": "choices", "value": {"choices": [choice]}}]} for choice in ("a", "b")[: 2 - number]
            ],
        }
        for number in range(2)
    ]
    write_json(tmp_path / "project.json", tasks)
    with pytest.raises(DatasetError, match=r"project.json, task 1: 0.png: 2 annotations say different labels"):
        read_dataset(tmp_path)
    assert [each.name for each in read_dataset(tmp_path, on_problem="skip").examples] == ["1.png"]


def test_run_lengths_of_coco_are_masks(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    mask_ = boxed()
    flat = mask_.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    packed = "".join(packed_number(value - (counts[at - 2] if at > 2 else 0)) for at, value in enumerate(counts))
    segments = [{"size": [SIDE, SIDE], "counts": counts}, {"size": [SIDE, SIDE], "counts": packed}]
    write_json(
        tmp_path / "instances.json",
        {
            "images": [
                {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE} for number in (0, 1)
            ],
            "categories": [{"id": 1, "name": "scratch"}],
            "annotations": [
                {"image_id": number, "category_id": 1, "segmentation": each} for number, each in enumerate(segments)
            ],
        },
    )
    dataset = read_dataset(tmp_path)
    assert np.array_equal(mask(dataset, "0", "scratch"), mask_)
    assert np.array_equal(mask(dataset, "1", "scratch"), mask_)


def test_the_shapes_of_datumaro_are_masks_and_its_subsets_are_joined(tmp_path: Path) -> None:
    images(tmp_path, "images/a/same.png", "images/b/same.png", "images/b/deep/2.png")
    runs = {"size": [SIDE, SIDE], "counts": [SIDE * SIDE - 6, 6]}
    subsets: dict[str, list[dict[str, Any]]] = {
        "a": [
            {
                "id": "same",
                "media": {"path": "same.png"},
                "annotations": [
                    {"type": "ellipse", "label_id": 1, "points": [10, 15, 30, 25]},
                    {"type": "caption", "caption": "left"},
                ],
            }
        ],
        "b": [
            {"id": "same", "image": {"path": "same.png"}, "annotations": [{"type": "label", "label_id": 0}]},
            {
                "id": "deep/2",
                "annotations": [
                    {"type": "mask", "label_id": 0, "rle": runs},
                    {"type": "polyline", "label_id": 1, "points": [1, 1, 5, 5]},
                ],
            },
        ],
    }
    (tmp_path / "annotations").mkdir()
    for subset, items in subsets.items():
        labels = [{"name": name} for name in (("dent", "burr") if subset == "b" else ("oil", "burr"))]
        write_json(
            tmp_path / "annotations" / f"{subset}.json", {"categories": {"label": {"labels": labels}}, "items": items}
        )
    dataset = read_dataset(tmp_path)
    assert dataset.label_names == ("oil", "burr", "dent")
    assert {each.name: each.labels for each in dataset.examples} == {
        "a/same.png": (False, True, False), "b/same.png": (False, False, True), "b/deep/2.png": (False, True, True),
    }  # fmt: skip
    assert mask(dataset, "2", "dent").sum() == 6
    (balance,) = (each for each in dataset.warnings if each.startswith("Datumaro"))
    assert "annotations without a label that the file lists: 1" in balance
    assert "shapes of kind polyline (only their label is used): 1" in balance


def packed_number(value: int) -> str:
    """A number as COCO's tools write it: five bits a character, the lowest first, 32 for one that follows."""
    text = ""
    while True:
        bits, value = value & 0x1F, value >> 5
        more = not (value == 0 and not bits & 0x10) and not (value == -1 and bits & 0x10)
        text += chr((bits | (0x20 if more else 0)) + 48)
        if not more:
            return text


def test_two_exports_in_one_folder_are_named_and_one_file_is_read(tmp_path: Path) -> None:
    coco(tmp_path)
    label_studio(tmp_path)
    with pytest.raises(DatasetError, match=r"holds COCO \(annotations.json\), Label Studio \(project.json\)"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path / "project.json").examples) == 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.json",
            '{"images": [{"id": 1}], "categories": []}',
            "image 1: can't be read (field file_name: missing",
        ),
        (
            "a.json",
            '{"items": [{"annotations": []}], "categories": {}}',
            "item 1: can't be read (field id: missing",
        ),
        ("a.json", '{"images": "categories" x', "can't be read as JSON"),
        ("a.json", '{"images": [], "categories": [', "can't be read as JSON"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "can't be read as XML"),
        ("a.xml", "<annotations><track/></annotations>", "export it as `CVAT for images 1.1`"),
        ("a.xml", "<annotation><object></annotation>", "can't be read as XML"),
        ("labels.xlsx", "PK", "save labels.xlsx as CSV in UTF-8"),
        ("readme.md", "", "give a folder per class"),
    ],
)
def test_a_file_that_cant_be_read_says_what_to_do(tmp_path: Path, name: str, content: str, expected: str) -> None:
    images(tmp_path, "0.png")
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError) as refused:
        read_dataset(tmp_path)
    assert expected in str(refused.value)


def test_lines_of_yolo_that_are_wrong_are_named(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_text("0 0.5 0.5 0.1\n5 0.5 0.5 0.1 0.1\nx\n")
    with pytest.raises(DatasetError) as refused:
        read_dataset(tmp_path)
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("labels/train/0.txt, line 1: 3 numbers after the class")
    assert lines[1].startswith("labels/train/0.txt, line 2: there is no class 5")
    assert lines[2].startswith("labels/train/0.txt, line 3: not a class and numbers")


def test_an_image_of_which_something_cant_be_read_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    coco(tmp_path / "coco")
    document = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    document["images"][3] = {"id": 3, "file_name": ["3.png"]}
    document["annotations"][1]["bbox"] = [5, 5, None, 15]
    write_json(tmp_path / "coco" / "annotations.json", document)
    yolo(tmp_path / "yolo")
    (tmp_path / "yolo" / "labels" / "train" / "1.txt").write_text("1 0.1 0.1 0.5\n")
    datumaro(tmp_path / "datumaro")
    document = json.loads((tmp_path / "datumaro" / "annotations" / "train.json").read_text())
    document["items"][1]["annotations"][0]["points"] = ["five"]
    write_json(tmp_path / "datumaro" / "annotations" / "train.json", document)
    said = {
        "coco": ["image 4: can't be read (field file_name", "annotation 2: can't be read (field bbox.2"],
        "yolo": ["1.txt, line 1: 3 numbers after the class"],
        "datumaro": ["train.json, item 2: can't be read (field annotations.0.points.0"],
    }
    for kind, problems in said.items():
        with pytest.raises(DatasetError) as refused:
            read_dataset(tmp_path / kind)
        assert all(problem in str(refused.value) for problem in problems)
        dataset = read_dataset(tmp_path / kind, on_problem="skip")
        assert sorted(each.image.stem for each in dataset.examples) == ["0", "2"], "1.png would pass as good"
        assert any("left out" in each and "can't be read" in each for each in dataset.warnings)


def test_ids_and_outlines_of_coco_are_read_as_tools_write_them(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png")
    flat = [value for point in TRIANGLE for value in point]
    write_json(
        tmp_path / "a.json",
        {
            "images": [{"id": number, "file_name": f"{number}.png"} for number in range(3)],
            "categories": [{"id": 7, "name": "dent"}],
            "annotations": [
                {"image_id": "0", "category_id": "7", "bbox": [5, 5, 9, 9], "segmentation": {}},
                {"image_id": 1.0, "category_id": 7.0, "segmentation": flat},
            ],
        },
    )
    dataset = read_dataset(tmp_path)
    assert {each.name: each.labels for each in dataset.examples} == {
        "0.png": (True,), "1.png": (True,), "2.png": (False,),
    }  # fmt: skip
    assert np.array_equal(mask(dataset, "1", "dent"), triangle())


def test_verified_images_of_pascal_voc_and_classes_of_yolo_with_a_mark_of_their_encoding_are_read(
    tmp_path: Path,
) -> None:
    voc(tmp_path / "voc")
    first = tmp_path / "voc" / "Annotations" / "0.xml"
    first.write_text(first.read_text(encoding="utf-8").replace("<annotation>", '<annotation verified="yes">'))
    assert sorted(each.name for each in read_dataset(tmp_path / "voc").examples) == ["0.png", "1.png", "2.png"]
    images(tmp_path / "yolo", "images/0.png")
    (tmp_path / "yolo" / "labels").mkdir()
    (tmp_path / "yolo" / "labels" / "0.txt").write_bytes(b"\xef\xbb\xbf0 0.5 0.5 0.5 0.5\r\n")
    (tmp_path / "yolo" / "classes.txt").write_bytes(b"\xef\xbb\xbfdent\r\n")
    dataset = read_dataset(tmp_path / "yolo")
    assert (dataset.label_names, dataset.examples[0].labels) == (("dent",), (True,))


def test_key_points_of_yolo_are_no_polygon(tmp_path: Path) -> None:
    yolo(tmp_path)
    names = (tmp_path / "data.yaml").read_text(encoding="utf-8")
    (tmp_path / "data.yaml").write_text(f"{names}kpt_shape: [2, 3]\n", encoding="utf-8")
    box_ = (tmp_path / "labels" / "train" / "0.txt").read_text().strip()
    (tmp_path / "labels" / "train" / "0.txt").write_text(f"{box_} 0.1 0.1 2 0.9 0.9 2\n")
    assert np.array_equal(mask(read_dataset(tmp_path), "0", "Kratzer tief"), boxed())


@pytest.mark.parametrize("folder", ["labels", "Labels", "LABELS"])
def test_label_files_of_yolo_find_their_images_in_any_form_of_unicode_and_capitals(tmp_path: Path, folder: str) -> None:
    images(tmp_path, "images/Pr\u00fcfling 1.PNG", "images/2.png")
    (tmp_path / "data.yaml").write_text("names: [dent]\n")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "Pru\u0308fling 1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / folder / "2.txt").touch()
    dataset = read_dataset(tmp_path)
    assert {each.name: each.labels for each in dataset.examples} == {"Pr\u00fcfling 1.PNG": (True,), "2.png": (False,)}


def test_copies_of_an_image_that_a_tool_augmented_are_one_group(tmp_path: Path) -> None:
    images(tmp_path, "seam_jpg.rf.0a1b.png", "seam_jpg.rf.2c3d.png", "other.png")
    rows = [(name, "good") for name in ("seam_jpg.rf.0a1b.png", "seam_jpg.rf.2c3d.png", "other.png")]
    write_json(
        tmp_path / "_annotations.coco.json",
        {
            "images": [{"id": number, "file_name": name} for number, (name, _) in enumerate(rows)],
            "categories": [{"id": 0, "name": "things", "supercategory": "none"},
                           {"id": 1, "name": "dent", "supercategory": "things"}],
            "annotations": [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9]}],
        },
    )  # fmt: skip
    dataset = read_dataset(tmp_path)
    assert dataset.label_names == ("dent",)
    assert dataset.group_count == 2


def test_a_turned_box_an_ellipse_and_a_mask_of_cvat_are_drawn(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png")
    shapes = (
        '<box label="a" xtl="10" ytl="15" xbr="30" ybr="25" rotation="90"/>',
        '<ellipse label="a" cx="20" cy="20" rx="10" ry="5"/>',
        '<mask label="a" left="3" top="4" width="2" height="3" rle="0, 6"/>',
    )
    listed = "".join(
        f'<image id="{number}" name={quoteattr(f"{number}.png")} width="40" height="40">{shape}</image>'
        for number, shape in enumerate(shapes)
    )
    (tmp_path / "annotations.xml").write_text(f"<annotations>{listed}</annotations>")
    dataset = read_dataset(tmp_path)
    turned, round_, exact = (mask(dataset, str(number), "a") for number in range(3))
    assert cv2.boundingRect(turned.astype(np.uint8)) == pytest.approx((15, 10, 10, 20), abs=1)
    assert round_.sum() == pytest.approx(np.pi * 50, rel=0.2)
    assert exact.sum() == 6
    assert exact[4:7, 3:5].all()


WIDE, HIGH = 80, 40
"""The size of an image whose sides differ, so that percents of them do too."""


def labelled(folder: Path, *results: dict[str, Any], minimal: bool = False) -> Dataset:
    """Read an image that was labelled in Label Studio with these results."""
    (folder / "0.png").write_bytes(encode(np.zeros((HIGH, WIDE, 3), np.uint8), "png"))
    sized = [{"original_width": WIDE, "original_height": HIGH, **result} for result in results]
    whole = {"data": {"image": "0.png"}, "annotations": [{"result": sized}]}
    fields = [{**result, **result["value"]} for result in sized]
    write_json(folder / "p.json", [{"image": "0.png", "annotator": 1, "regions": fields} if minimal else whole])
    return read_dataset(folder)


@pytest.mark.parametrize("minimal", [False, True])
def test_an_ellipse_of_label_studio_is_turned_clockwise_about_its_middle_in_pixels(
    tmp_path: Path, minimal: bool
) -> None:
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 30, "ellipselabels": ["dent"]}
    found = mask(labelled(tmp_path, {"type": "ellipselabels", "value": value}, minimal=minimal), "0", "dent")
    expected = np.zeros((HIGH, WIDE), np.uint8)
    cv2.ellipse(expected, (40, 20), (16, 4), 30, 0, 360, [255], -1)
    assert found.shape == (HIGH, WIDE)
    assert (found & (expected > 0)).sum() / (found | (expected > 0)).sum() > 0.8


@pytest.mark.parametrize("minimal", [False, True])
def test_the_labels_of_regions_without_an_area_are_used_and_counted(tmp_path: Path, minimal: bool) -> None:
    dataset = labelled(
        tmp_path,
        {"type": "keypointlabels", "value": {"x": 5, "y": 5, "width": 1, "keypointlabels": ["hole"]}},
        {"type": "brushlabels", "value": {"format": "rle", "rle": ["x"], "brushlabels": ["dent"]}},
        {"type": "vectorlabels", "value": {"vertices": [], "vectorlabels": ["crack"]}},
        {"type": "polygonlabels", "value": {"points": [[0, 0], [50, 0], [0, 50]], "polygonlabels": ["crack"]}},
        minimal=minimal,
    )
    assert dict(zip(dataset.label_names, dataset.examples[0].labels, strict=True)) == {
        "crack": True, "dent": True, "hole": True,
    }  # fmt: skip
    assert dataset.task is Task.MULTI_LABEL
    assert [name for name, _ in dataset.examples[0].masks] == ["masks_by_label/0_crack.png"]
    for kind in ("keypointlabels", "brushlabels", "vectorlabels"):
        assert f"regions of kind {kind}, of which only the label is used: 1" in dataset.warnings[0]


def test_of_regions_whose_place_is_not_certain_the_label_is_used_and_counted(tmp_path: Path) -> None:
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 30, "rectanglelabels": ["dent"]}
    dataset = labelled(
        tmp_path,
        {"type": "rectanglelabels", "value": value, "original_width": None},
        {"type": "rectanglelabels", "value": {**value, "rotation": 0}, "image_rotation": 90},
        {"type": "textarea", "value": {"text": ["left"]}},
    )
    assert (dataset.label_names, dataset.examples[0].masks) == (("dent",), ())
    assert "regions of kind rectanglelabels, of which only the label is used: 1" in dataset.warnings[0]
    assert (
        "regions of images that were turned while they were labelled, of which only the label is used: 1"
        in (dataset.warnings[0])
    )
    assert "results of kind textarea: 1" in dataset.warnings[0]


@pytest.mark.parametrize("kind", ["COCO", "Datumaro"])
def test_a_mask_that_cant_be_drawn_leaves_its_image_out_and_not_the_others(tmp_path: Path, kind: str) -> None:
    MARKED[kind](tmp_path)
    (path,) = [each for each in tmp_path.rglob("*.json") if '"1.png"' in each.read_text()]
    text = path.read_text()
    runs = json.dumps({"size": [SIDE, SIDE], "counts": [7]})
    points = json.dumps([value for point in TRIANGLE for value in point])
    if kind == "COCO":
        path.write_text(text.replace(f"[{points}]", runs))
    else:
        path.write_text(
            text.replace(f'"polygon", "label_id": 1, "points": {points}', f'"mask", "label_id": 1, "rle": {runs}')
        )
    assert path.read_text() != text
    with pytest.raises(DatasetError, match=r"1.png: the runs of a mask don't add up to its 40 x 40 pixels"):
        read_dataset(tmp_path)
    dataset = read_dataset(tmp_path, on_problem="skip")
    assert sorted(by_stem(dataset)) == ["0", "2"]
    assert any("images with a mask that can't be drawn: 1" in each for each in dataset.warnings)


def test_the_classes_of_yolo_may_be_among_the_label_files(tmp_path: Path) -> None:
    images(tmp_path, "images/0.png")
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / "0.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "Labels" / "classes.txt").write_text("dent\n")
    assert read_dataset(tmp_path).label_names == ("dent",)
    images(tmp_path, "train/images/1.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "train" / "labels" / "classes.txt").write_text("burr\n")
    with pytest.raises(DatasetError, match=r"name different classes: keep one of the two files"):
        read_dataset(tmp_path)


def test_brush_strokes_of_label_studio_are_masks(tmp_path: Path) -> None:
    images(tmp_path, "0.png")
    alpha = np.where(boxed(), 255, 0).astype(np.uint8)
    value = {"format": "rle", "rle": packed_strokes(np.repeat(alpha.reshape(-1), 4)), "brushlabels": ["dent"]}
    result = {"type": "brushlabels", "original_width": SIDE, "original_height": SIDE, "value": value}
    write_json(tmp_path / "p.json", [{"data": {"image": "0.png"}, "annotations": [{"result": [result]}]}])
    assert np.array_equal(mask(read_dataset(tmp_path), "0", "dent"), boxed())


def packed_strokes(values: np.ndarray) -> list[int]:
    """Pack bytes as Label Studio does (thi.ng/rle-pack), with runs of equal values alone."""
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    ends = [0, *(np.flatnonzero(np.diff(values)) + 1), len(values)]
    for start, end in pairwise(ends):
        bits += "1" + "11" + f"{end - start - 1:016b}" + f"{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
