"""Challenge sets and the records of checks, in object storage: no retention rule removes them.

The requests that no gateway has reported yet are in Redis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Final, cast

from pydantic import AwareDatetime, BaseModel
from redis import Redis
from ulid import ULID

from services.dashboard.store.keys import Keys
from shared.imaging.codec import CONTENT_TYPES, SUFFIXES, content_type_of, decode, is_png
from shared.messages import ChallengeImage, ChallengePart, LineChecked, challenge_folder
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.storage.records import read_or_skip

RECORDS: Final = "checks"
"""Folder of the records."""
CHECK_ID: Final = re.compile(r"check-[0-6][0-9A-HJKMNP-TV-Z]{25}")
"""An id that `new_check_id` returns before the year 9700."""
REQUEST_SECONDS: Final = 15
"""Seconds within which a second check of a line is not requested: by then the gateway has reported the first one."""


@dataclass(frozen=True)
class GivenImage:
    """An image for a part of a challenge set: an uploaded file, or the image of a frame that was inspected."""

    camera: str | None
    """None: the camera of the frame."""
    content: bytes = b""
    frame_id: str | None = None


class StoredPart(BaseModel):
    """A part of a challenge set, and who put it there."""

    part: ChallengePart
    by: str
    at: AwareDatetime


class ChallengeRepository:
    """The challenge sets of lines, an object for each part. Their images stay: records name them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def parts(self, line: str) -> list[StoredPart]:
        """Return the parts of a line's challenge set by their names."""
        keys = self._store.keys(f"{challenge_folder(line)}/parts/")
        stored = (read_or_skip(key, partial(self._read, key)) for key in keys)
        return [each for each in stored if each]

    def put(self, line: str, part: StoredPart) -> None:
        """Store a part, in place of one of the same name."""
        self._store.put(_key_of(line, part.part.name), part.model_dump_json().encode(), "application/json")

    def remove(self, line: str, name: str) -> bool:
        """Remove a part; False: there is none of that name."""
        key = _key_of(line, name)
        if not self._store.exists(key):
            return False
        self._store.delete(key)
        return True

    def put_image(self, line: str, camera: str, content: bytes) -> ChallengeImage:
        """Store an image under its digest.

        Raises:
            UnreadableImage: it can't be inspected.
        """
        height, width = decode(content).shape[:2]
        encoding = "png" if is_png(content) else "jpeg"
        key = f"{challenge_folder(line)}/{sha256(content).hexdigest()}.{SUFFIXES[encoding]}"
        self._store.put(key, content, CONTENT_TYPES[encoding])
        return ChallengeImage(camera=camera, key=key, encoding=encoding, width=width, height=height)

    def image(self, line: str, name: str) -> tuple[bytes, str] | None:
        """Return an image and its content type; None: there is none."""
        try:
            content = self._store.get(f"{challenge_folder(line)}/{name}")
        except ObjectNotFound:
            return None
        return content, content_type_of(content)

    def _read(self, key: str) -> StoredPart:
        return StoredPart.model_validate_json(self._store.get(key))


class CheckRepository:
    """The records of checks, which never change."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, record: LineChecked) -> None:
        """Store a record."""
        self._store.put(
            _key_of_record(record.line, record.check_id), record.model_dump_json().encode(), "application/json"
        )

    def get(self, line: str, check_id: str) -> LineChecked | None:
        """Return the record of a check; None: there is none."""
        try:
            return LineChecked.model_validate_json(self._store.get(_key_of_record(line, check_id)))
        except ObjectNotFound:
            return None

    def newest(self, line: str, most: int) -> list[LineChecked]:
        """Return the records of the last checks of a line, newest first."""
        return self._read(line, sorted(self._ids(line), reverse=True)[:most])

    def between(self, line: str, first: datetime, last: datetime, most: int) -> list[LineChecked]:
        """Return the records of the checks that were requested in a time, and the one before it, oldest first."""
        ids = sorted(check_id for check_id in self._ids(line) if moment_of(check_id) <= last)
        start = max(0, sum(moment_of(check_id) < first for check_id in ids) - 1)
        return self._read(line, list(islice(ids, start, start + most)))

    def _ids(self, line: str) -> list[str]:
        names = (key.rpartition("/")[2].removesuffix(".json") for key in self._store.keys(f"{RECORDS}/{line}/"))
        return [name for name in names if CHECK_ID.fullmatch(name)]

    def _read(self, line: str, ids: list[str]) -> list[LineChecked]:
        found = (read_or_skip(check_id, partial(self.get, line, check_id)) for check_id in ids)
        return [record for record in found if record]


class CheckRequests:
    """The last check that was requested for each line, until its record came, for `REQUEST_SECONDS` at most."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def begin(self, line: str, check_id: str) -> bool:
        """Store the request for a check; False: another one is stored."""
        return bool(self._redis.set(self._keys.requested_check(line), check_id, nx=True, ex=REQUEST_SECONDS))

    def end(self, line: str, check_id: str) -> None:
        """Remove the request for a check."""
        key = self._keys.requested_check(line)
        if cast("str | None", self._redis.get(key)) == check_id:
            self._redis.delete(key)


def new_check_id() -> str:
    """Return the id of a new check: ids are in the order of their moments."""
    return f"check-{ULID()}"


def moment_of(check_id: str) -> datetime:
    """Return the moment at which a check was requested."""
    return ULID.from_str(check_id.rpartition("-")[2]).datetime


def _key_of(line: str, name: str) -> str:
    return f"{challenge_folder(line)}/parts/{name}.json"


def _key_of_record(line: str, check_id: str) -> str:
    return f"{RECORDS}/{line}/{check_id}.json"
