"""Sources of frames: uploaded videos, and the lines that use a recipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from pydantic import ValidationError

from services.dashboard.labelling.videos.repository import UploadedVideo, VideoRepository, plain_name
from services.dashboard.web.paging import Place, newest
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.contracts.promotion import production_version
from shared.language import gettext
from shared.recipe import Recipe, RecipeError, parse_recipe
from shared.storage.port import ObjectNotFound, ObjectStore

LINE: Final = "line-"
VIDEO: Final = "video-"
UNAVAILABLE: Final = (ObjectNotFound, RecipeError, bundle.BundleError, ValidationError)
"""Errors of a source that does not exist or can't be read."""


@dataclass(frozen=True)
class FrameSource:
    """Frames that are labelled by one recipe."""

    id: str
    name: str
    recipe: Recipe
    video: UploadedVideo | None
    """The uploaded video; None if the source is the frames of the lines."""

    def frame_number(self, key: str) -> int | None:
        """Return the number of a frame in the video, or None if the video has no such frame."""
        if self.video is None or not key.isdecimal() or str(int(key)) != key:
            return None
        return int(key) if int(key) < self.video.frames else None

    def video_frames(self) -> Iterator[str]:
        """Yield the keys of the frames of the video in their order; none for the frames of the lines."""
        return map(str, range(self.video.frames if self.video else 0))

    def image_name(self, key: str) -> str:
        """Return the file name of a frame of the video in tables and archives."""
        numbered = f"{self.name}_{int(key):06d}"
        if self.video is None or self.video.kind == "video":
            return f"{numbered}.jpg"
        path = PurePosixPath(self.video.names[int(key)])
        return f"{numbered}_{plain_name(path.name)}{path.suffix.lower()}"

    def group(self, key: str) -> str:
        """Return the group of a frame of the video: the video, or the folder of an album, or else the image itself."""
        if self.video is None or self.video.kind == "video":
            return self.name
        folder = PurePosixPath(self.video.names[int(key)]).parent
        return f"{self.name}/{folder}" if folder.name else self.image_name(key)

    @property
    def place(self) -> Place:
        """The place of the source in a list: the lines by recipe, then the videos, newest first."""
        return newest(self.video.uploaded_at, self.id) if self.video else (-sys.maxsize, self.id)


def frame_order(key: str) -> tuple[int, str]:
    """Return a sort key: frames of a video by number, frames of a line by frame id."""
    return (int(key), "") if key.isdecimal() else (0, key)


class FrameSources:
    """All sources of frames."""

    def __init__(self, store: ObjectStore, videos: VideoRepository) -> None:
        self._store = store
        self._videos = videos
        self._recipe_yaml = lru_cache(maxsize=200)(
            lambda recipe, version: store.get(f"{bundle.folder_of(recipe, version)}/{bundle.RECIPE}")
        )

    def all(self) -> list[FrameSource]:
        """Return all sources: the lines by recipe, then the videos, newest first."""
        lines = []
        for recipe in self.recipes():
            with suppress(*UNAVAILABLE):
                lines.append(self._of_lines(recipe))
        return [*lines, *map(_of_video, self._videos.all())]

    def get(self, source: str) -> FrameSource:
        """Return the source of an id.

        Raises:
            Problem: 404: there is no such source.
        """
        try:
            if source.startswith(VIDEO):
                return _of_video(self._videos.get(source.removeprefix(VIDEO)))
            return self._of_lines(source.removeprefix(LINE))
        except UNAVAILABLE as error:
            raise Problem(
                404, gettext("there is no source %(source)r: GET /api/labelling/sources lists them", source=source)
            ) from error

    def recipes(self) -> list[str]:
        """Return the names of the recipes that have models."""
        return sorted({key.split("/")[1] for key in self._store.keys("models/") if key.count("/") > 1})

    def recipe_yaml(self, recipe: str) -> str:
        """Return the recipe file of the model in production, or of the newest model.

        Raises:
            ObjectNotFound: the recipe has no model.
        """
        version = production_version(self._store, recipe) or max(bundle.versions(self._store, recipe), default=None)
        if version is None:
            raise ObjectNotFound(f"there are no models of a recipe {recipe!r}")
        return self._recipe_yaml(recipe, version).decode(errors="replace")

    def _of_lines(self, recipe: str) -> FrameSource:
        return FrameSource(f"{LINE}{recipe}", recipe, _parsed(self.recipe_yaml(recipe)), None)


def _of_video(video: UploadedVideo) -> FrameSource:
    return FrameSource(video.source, video.name, _parsed(video.recipe_yaml), video)


@lru_cache(maxsize=200)
def _parsed(text: str) -> Recipe:
    """Return the recipe of the labels that people give; what a model learns from good images alone is none of them."""
    return parse_recipe(text).annotated
