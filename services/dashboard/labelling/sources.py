"""Where frames to be labelled come from: uploaded videos, and the lines."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydantic import ValidationError

from services.dashboard.labelling.videos.repository import Video, Videos
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.recipe import Recipe, RecipeError, parse_recipe
from shared.storage.port import ObjectNotFound, ObjectStore

LINE: Final = "line-"
VIDEO: Final = "video-"
NOT_THERE: Final = (ObjectNotFound, RecipeError, bundle.BundleError, ValidationError)
"""What was never there, and what can't be read."""


@dataclass(frozen=True)
class Source:
    """Frames that are labelled by one recipe."""

    id: str
    name: str
    recipe: Recipe
    video: Video | None
    """None: frames of the lines."""

    def number(self, frame: str) -> int | None:
        """The place of a frame in the video; None when it has none."""
        if self.video is None or not frame.isdecimal() or str(int(frame)) != frame:
            return None
        return int(frame) if int(frame) < self.video.frames else None


class Sources:
    """All of them."""

    def __init__(self, store: ObjectStore, videos: Videos) -> None:
        self._store = store
        self._videos = videos
        self._recipe = lru_cache(maxsize=200)(self._read_recipe)

    def all(self) -> list[Source]:
        """The lines by recipe, then the videos, the newest first."""
        lines = []
        for recipe in self.recipes():
            with suppress(*NOT_THERE):
                lines.append(self._of_lines(recipe))
        return [*lines, *map(self._of_video, self._videos.all())]

    def get(self, source: str) -> Source:
        """One of them.

        Raises:
            Problem: 404.
        """
        try:
            if source.startswith(VIDEO):
                return self._of_video(self._videos.get(source.removeprefix(VIDEO)))
            return self._of_lines(source.removeprefix(LINE))
        except NOT_THERE as error:
            raise Problem(404, f"there is no source {source!r}: GET /api/labelling/sources lists them") from error

    def recipes(self) -> list[str]:
        """The recipes that have models."""
        return sorted({key.split("/")[1] for key in self._store.keys("models/") if key.count("/") > 1})

    def recipe_yaml(self, recipe: str) -> str:
        """The recipe of the model in production, or of the newest one.

        Raises:
            ObjectNotFound: it has no model.
        """
        version = bundle.production_version(self._store, recipe) or max(
            bundle.versions(self._store, recipe), default=None
        )
        if version is None:
            raise ObjectNotFound(f"there are no models of a recipe {recipe!r}")
        return self._recipe(recipe, version)

    def _read_recipe(self, recipe: str, version: str) -> str:
        return self._store.get(f"{bundle.folder_of(recipe, version)}/{bundle.RECIPE}").decode(errors="replace")

    def _of_lines(self, recipe: str) -> Source:
        return Source(f"{LINE}{recipe}", recipe, _parsed(self.recipe_yaml(recipe)), None)

    def _of_video(self, video: Video) -> Source:
        return Source(video.source, video.name, _parsed(video.recipe_yaml), video)


@lru_cache(maxsize=200)
def _parsed(text: str) -> Recipe:
    return parse_recipe(text)


def checked_recipe(text: str) -> Recipe:
    """A recipe that a person gave.

    Raises:
        Problem: 422: it can't be used; says where.
    """
    try:
        return parse_recipe(text)
    except RecipeError as error:
        raise Problem(422, str(error)) from error
