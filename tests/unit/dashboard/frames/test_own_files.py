"""A frame never shows objects outside its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from services.dashboard.frames.repository import FrameRepository, StoredFrame
from services.dashboard.frames.service import FramesService
from services.dashboard.web.problems import Problem
from shared.messages import FrameInspected
from shared.storage.filesystem import FilesystemStore
from tests.verdicts import Line

NEVER_ASKED: Any = None


class Index:
    """Knows one frame, as a projection would that took in an unchecked message."""

    verdict: FrameInspected

    def get(self, _frame_id: str) -> StoredFrame:
        return StoredFrame(self.verdict, None)

    def request_of(self, _frame_id: str) -> None:
        return None


def test_a_frame_shows_objects_of_its_own_folder_alone(tmp_path: Path) -> None:
    store, index = FilesystemStore(tmp_path), Index()
    frames = FramesService(cast("FrameRepository", index), NEVER_ASKED, store, NEVER_ASKED, NEVER_ASKED)
    line = Line()
    honest, other = line.verdict("break"), line.verdict("break")
    store.put("people/secret.json", b"a password")
    for each in (honest, other):
        store.put(f"{each.frame.storage_key}/image.jpg", each.frame.frame_id.encode())
    index.verdict = honest.model_copy(update={"image_key": f"{honest.frame.storage_key}/image.jpg"})
    assert frames.image(honest.frame.frame_id).content == honest.frame.frame_id.encode()
    for key in ("people/secret.json", f"{other.frame.storage_key}/image.jpg", f"{honest.frame.storage_key}x/a.jpg"):
        index.verdict = honest.model_copy(update={"image_key": key})
        with pytest.raises(Problem, match="not stored"):
            frames.image(honest.frame.frame_id)
        with pytest.raises(Problem, match="not stored"):
            frames.explain(honest.frame.frame_id, [], by="mallory")
