"""Writes three images with a marked scratch and a marked dent, as other tools export them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shared.imaging.codec import encode

SIDE = 40
BOX = (10, 20, 30, 35)
"""Left, top, right, bottom of the scratch in 0.png."""
TRIANGLE = ((5, 5), (20, 5), (5, 20))
"""The dent in 1.png."""


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full((SIDE, SIDE, 3), 40 * number, np.uint8), "png"))


def boxed() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return mask


def triangle() -> np.ndarray:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(canvas, [np.array(TRIANGLE, np.int32)], 1)
    return canvas > 0


def coco(folder: Path) -> None:
    images(folder, "0.png", "1.png", "2.png")
    left, top, right, bottom = BOX
    flat = [value for point in TRIANGLE for value in point]
    write_json(
        folder / "annotations.json",
        {
            "images": [
                {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE} for number in range(4)
            ],
            "categories": [{"id": 7, "name": "Kratzer tief"}, {"id": 9, "name": "dent"}],
            "annotations": [
                {"image_id": 0, "category_id": 7, "bbox": [left, top, right - left, bottom - top]},
                {"image_id": 1, "category_id": 9, "segmentation": [flat], "bbox": [5, 5, 15, 15]},
                {"image_id": 1, "category_id": 7, "bbox": [90, 90, 5, 5]},
                {"image_id": 99, "category_id": 7, "bbox": [0, 0, 1, 1]},
            ],
        },
    )


def yolo(folder: Path) -> None:
    images(folder, "images/train/0.png", "images/train/1.png", "images/val/2.png")
    (folder / "data.yaml").write_text("nc: 2\nnames: {0: Kratzer tief, 1: dent}\n", encoding="utf-8")
    left, top, right, bottom = (value / SIDE for value in BOX)
    points = " ".join(str(value / SIDE) for point in TRIANGLE for value in point)
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "0.txt").write_text(f"0 {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n")
    (labels / "1.txt").write_text(f"1 {points}\n")
    (labels / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def voc(folder: Path) -> None:
    images(folder, "0.png", "1.png", "2.png")
    left, top, right, bottom = BOX
    polygon = "".join(f"<x{at}>{x}</x{at}><y{at}>{y}</y{at}>" for at, (x, y) in enumerate(TRIANGLE, start=1))
    things = (
        f"<object><name>Kratzer tief</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>",
        f"<object><name>dent</name><polygon>{polygon}</polygon></object>",
        "",
    )
    (folder / "Annotations").mkdir()
    for number, thing in enumerate(things):
        (folder / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>{SIDE}</width><height>{SIDE}</height></size>"
            f"{thing}</annotation>",
            encoding="utf-8",
        )


def cvat(folder: Path) -> None:
    images(folder, "images/0.png", "images/1.png", "images/2.png")
    left, top, right, bottom = BOX
    points = ";".join(f"{x},{y}" for x, y in TRIANGLE)
    shapes = (
        f'<box label="Kratzer tief" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"/>',
        f'<polygon label="dent" points="{points}"/>',
        "",
    )
    listed = "".join(
        f'<image id="{number}" name="{number}.png" width="{SIDE}" height="{SIDE}">{shape}</image>'
        for number, shape in enumerate(shapes)
    )
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{listed}</annotations>")


def label_studio(folder: Path) -> None:
    images(folder, "0.png", "1.png", "2.png")
    left, top, right, bottom = (100 * value / SIDE for value in BOX)
    size = {"original_width": SIDE, "original_height": SIDE}
    values: list[list[dict[str, Any]]] = [
        [
            {
                **size,
                "type": "rectanglelabels",
                "value": {
                    "x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0,
                    "rectanglelabels": ["Kratzer tief"],
                },
            }
        ],
        [
            {
                **size,
                "type": "polygonlabels",
                "value": {
                    "points": [[100 * x / SIDE, 100 * y / SIDE] for x, y in TRIANGLE], "polygonlabels": ["dent"],
                },
            }
        ],
        [],
    ]  # fmt: skip
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{number}.png"},
            "annotations": [{"result": result, "created_at": "2026-01-31T12:00:00Z", "completed_by": {"email": "ada"}}],
        }
        for number, result in enumerate(values)
    ]
    write_json(folder / "project.json", tasks)


def datumaro(folder: Path) -> None:
    images(folder, "images/train/0.png", "images/train/1.png", "images/val/2.png")
    left, top, right, bottom = BOX
    found: list[list[dict[str, Any]]] = [
        [{"type": "bbox", "label_id": 0, "bbox": [left, top, right - left, bottom - top], "attributes": {}}],
        [{"type": "polygon", "label_id": 1, "points": [value for point in TRIANGLE for value in point]}],
        [],
    ]
    (folder / "annotations").mkdir()
    labels: list[dict[str, Any]] = [{"name": name, "parent": "", "attributes": []} for name in ("Kratzer tief", "dent")]
    for subset, numbers in (("train", (0, 1)), ("val", (2,))):
        items = [
            {
                "id": str(number), "annotations": found[number], "attr": {"frame": number},
                "image": {"path": f"{number}.png", "size": [SIDE, SIDE]}, "media": {"path": ""},
            }
            for number in numbers
        ]  # fmt: skip
        document = {"infos": {}, "categories": {"label": {"labels": labels, "attributes": []}}, "items": items}
        write_json(folder / "annotations" / f"{subset}.json", document)


def write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


MARKED: dict[str, Callable[[Path], None]] = {
    "COCO": coco, "YOLO": yolo, "Pascal VOC": voc, "CVAT 1.1": cvat, "Label Studio": label_studio,
    "Datumaro": datumaro,
}  # fmt: skip
