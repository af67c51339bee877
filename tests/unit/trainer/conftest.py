from pathlib import Path

import pytest

from shared.recipe import Recipe
from shared.storage.filesystem import FilesystemStore
from tests.strokes import draw_strokes, strokes_recipe


@pytest.fixture(scope="session")
def strokes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled images that are learned in seconds; not to be changed."""
    return draw_strokes(tmp_path_factory.mktemp("dataset") / "strokes", 200)


@pytest.fixture
def recipe() -> Recipe:
    return strokes_recipe()


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "objects")
