"""The names that people give model versions, such as "Spring seams, new camera"; pages show them beside the ids.

Each change is one object, ``model-names/<recipe>/<version>/<time>.json``, which is never written again: the latest one
holds. A bundle never changes, and only the trainer writes below ``models/``, so names are records of the dashboard.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from shared.label_names import written_alike
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip
from shared.validation import marked

FOLDER: Final = "model-names"
LONGEST_NAME: Final = 80
"""Characters, at most."""


def _printable(text: str) -> str:
    name = written_alike(text)
    if not name.isprintable():
        raise ValueError(marked("the name holds a character that can't be seen: remove it"))
    return name


VersionName = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_printable)]
"""The name of a model version: one line of any printable characters; empty: it has none."""


class StoredName(BaseModel):
    """A name, and who gave it."""

    model_config = ConfigDict(frozen=True)

    name: str
    by: str
    at: AwareDatetime


class VersionNames:
    """The names in object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read = lru_cache(maxsize=2_000)(self._read_name)  # the objects never change

    def give(self, recipe: str, version: str, name: str, by: str) -> None:
        """Give a version a name; an empty one removes its name. The version may be one that is still to be trained.

        Raises:
            StorageError: the name was not stored.
        """
        at = datetime.now(UTC)
        key = f"{FOLDER}/{recipe}/{version}/{at:%Y%m%dT%H%M%S.%f}.json"
        self._store.put(key, StoredName(name=name, by=by, at=at).model_dump_json().encode(), "application/json")

    def of(self, recipe: str) -> dict[str, str]:
        """Return the names of a recipe's versions, by version; none while storage is away."""
        return {path.rpartition("/")[2]: name for path, name in self._below(f"{FOLDER}/{recipe}/").items()}

    def all(self) -> dict[str, str]:
        """Return the names of all versions, by ``<recipe>/<version>``; none while storage is away."""
        return self._below(f"{FOLDER}/")

    def by_version(self) -> dict[str, str]:
        """Return the names by version, for pages that know no recipe; without versions that two recipes have."""
        names = [(path.rpartition("/")[2], name) for path, name in self.all().items()]
        often = Counter(version for version, _ in names)
        return {version: name for version, name in names if often[version] == 1}

    def _below(self, prefix: str) -> dict[str, str]:
        try:
            latest = {key.removeprefix(f"{FOLDER}/").rpartition("/")[0]: key for key in self._store.keys(prefix)}
            found = {path: read_or_skip(key, partial(self._read, key)) for path, key in latest.items()}
        except StorageError:
            return {}
        return {path: stored.name for path, stored in found.items() if stored and stored.name}

    def _read_name(self, key: str) -> StoredName:
        return StoredName.model_validate_json(self._store.get(key))
