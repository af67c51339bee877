from __future__ import annotations

from datetime import date

import pytest

from shared.contracts.frame_files import FrameFile
from shared.contracts.retention_rules import DataKind

FRAME = "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image.ok.jpg", DataKind.OK),
        ("image.ng.png", DataKind.NG),
        ("image.unsure.jpg", DataKind.UNSURE),
        ("captured.jpg", DataKind.CAPTURED),
        ("heatmap.break.png", DataKind.HEATMAPS),
        ("overlay.jpg", DataKind.HEATMAPS),
    ],
)
def test_the_kind_of_a_file_follows_from_its_key(name: str, kind: DataKind) -> None:
    file = FrameFile.of(f"{FRAME}/{name}")
    assert file == FrameFile("line-1", date(2026, 1, 31), "01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001", kind)


@pytest.mark.parametrize(
    "key",
    [
        f"{FRAME}/image.jpg",
        f"{FRAME}/notes.txt",
        FRAME,
        f"{FRAME}/a/image.ok.jpg",
        "frames/line-1/2026-13-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/image.ok.jpg",
        "models/seam/v-1/manifest.json",
    ],
)
def test_other_objects_are_no_files_that_a_rule_removes(key: str) -> None:
    assert FrameFile.of(key) is None
