"""Object storage in a bucket of a server that speaks S3."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import MIN_PART_SIZE, DictType, check_bucket_name
from urllib3.exceptions import HTTPError

from shared.storage.paced import QUIET_SECONDS, paced_pool
from shared.storage.port import (
    ObjectNotFound,
    ObjectTooLarge,
    StorageError,
    StorageRefusedLogin,
    StorageUnavailable,
    checked_key,
    checked_prefix,
)

CONNECT_SECONDS: Final = 1.5
TRIES: Final = urllib3.Retry(
    connect=1, read=1, status=2, redirect=0, other=0, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
)
"""Enough for a hiccup; waiting for an absent server is the caller's part, who knows what to do meanwhile."""
SETTLE_SECONDS: Final = 1.0
"""Longer than two clients that create the same object at the same time are apart."""
PASSING_STATUS: Final = frozenset({408, 409, 429})
"""And all from 500 on: S3 says ``SlowDown`` by 503, ``RequestTimeout`` by 408 or 400, ``OperationAborted`` by 409."""
PASSING_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
"""Of other statuses: what a slow or broken connection causes."""
LOGIN_STATUS: Final = frozenset({401, 403})
LOGIN_CODES: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""Of other statuses: keys that are not accepted any more."""
CONNECTIONS: Final = 64
"""Kept open for the next call, at most: more than the threads of the dashboard, where 40 answer requests and a dozen
look after the rest. One is opened when no other is free, so the other services have a few."""


class NoSuchBucket(StorageError):
    """The bucket is not there yet; the first put makes it."""


class MinioStore:
    """Objects of one bucket. Nothing is asked of the server before the first call, so it may start later."""

    def __init__(
        self, address: str, bucket: str, access_key: str, secret_key: str, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        self._bucket = bucket
        self._conditional: bool | None = None
        """Whether the server knows conditional writes; None until the first object is created."""
        self._http = paced_pool(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=QUIET_SECONDS),
            retries=TRIES.new(raise_on_status=False),
            maxsize=CONNECTIONS,
            ssl_context=tls,
        )
        try:
            check_bucket_name(bucket, strict=True)
            self._client = Minio(
                address,
                access_key=access_key,
                secret_key=secret_key,
                secure=tls is not None,
                http_client=self._http,
            )
        except ValueError as error:
            raise StorageError(f"{address!r} and {bucket!r} name no bucket of an object store: {error}") from None

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there, and the user may. Several services may do so at once.

        Raises:
            StorageRefusedLogin: the server does not accept the keys.
            StorageUnavailable: nobody knows.
        """
        try:
            with self._storage_errors():
                # this asks where the bucket is, as every user may; `bucket_exists` is for those who may list it
                self._client.get_presigned_url("GET", self._bucket, "any")
        except NoSuchBucket:
            self._make_bucket()

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Keep ``content`` under ``key``."""
        checked_key(key)
        try:
            self._put(key, content, content_type)
        except NoSuchBucket:
            self._make_bucket()
            self._put(key, content, content_type)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Keep ``content`` under ``key`` if nothing is there.

        S3's conditional write decides. A server that ignores the condition is noticed at the first object; there, the
        object counts as created when it still stands after `SETTLE_SECONDS`.
        """
        checked_key(key)
        if self.exists(key) or not self._put_if_absent(key, content, content_type):
            return self._holds(key, content)
        if self._conditional is None:
            self._conditional = not self._put_if_absent(key, content, content_type)
        if not self._conditional:
            time.sleep(SETTLE_SECONDS)
        return self._conditional or self._holds(key, content)

    def get(self, key: str, most: int | None = None) -> bytes:
        """What is under ``key``."""
        checked_key(key)
        try:
            with self._storage_errors(key), self._client.get_object(self._bucket, key) as response:
                size = int(response.headers.get("Content-Length", 0))
                if most is None or size <= most:
                    # as it is stored: the writer of an object says how it is encoded, and may say packed
                    return bytes(response.read(decode_content=False))
                response.close()  # what was not read is in the way of the next request
        except NoSuchBucket:
            raise ObjectNotFound(f"there is no object {key}") from None
        raise ObjectTooLarge(f"object {key} has {size:,} bytes, and {most:,} are read at most")

    def exists(self, key: str) -> bool:
        """Whether something is under ``key``."""
        checked_key(key)
        try:
            with self._storage_errors(key):
                self._client.stat_object(self._bucket, key)
        except (ObjectNotFound, NoSuchBucket):
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that start with ``prefix``, in the order of their bytes."""
        return self._list(checked_prefix(prefix))

    def delete(self, key: str) -> None:
        """Remove what is under ``key``, if anything is."""
        checked_key(key)
        try:
            with self._storage_errors(key):
                self._client.remove_object(self._bucket, key)
        except (ObjectNotFound, NoSuchBucket):
            return

    def _make_bucket(self) -> None:
        with self._storage_errors():
            try:
                self._client.make_bucket(self._bucket)
            except MinioException as error:
                if _status_and_code(error)[1] not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
                    raise

    def _put(self, key: str, content: bytes, content_type: str) -> None:
        with self._storage_errors(key):
            self._client.put_object(
                self._bucket, key, io.BytesIO(content), len(content), content_type, metadata=_checksum(content)
            )

    def _put_if_absent(self, key: str, content: bytes, content_type: str) -> bool:
        """Whether the server stored it; True from a server that ignores the condition, even where an object was."""
        with self._storage_errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, key, expires=timedelta(minutes=5))
            headers = {"If-None-Match": "*", "Content-Type": content_type}
            answer = self._http.request("PUT", url, body=content, headers=headers)
        if answer.status < 300:
            return True
        code = re.search(rb"<Code>(\w+)</Code>", answer.data)
        error = self._in_words(answer.status, code[1].decode() if code else "", key)
        if isinstance(error, NoSuchBucket):
            self._make_bucket()
            return self._put_if_absent(key, content, content_type)
        if answer.status in (409, 412):
            return False
        raise error

    def _holds(self, key: str, content: bytes) -> bool:
        try:
            return self.get(key) == content
        except ObjectNotFound:
            return False

    def _list(self, prefix: str) -> Iterator[str]:
        try:
            with self._storage_errors():
                for entry in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                    if entry.object_name:
                        yield entry.object_name
        except NoSuchBucket:
            return

    @contextmanager
    def _storage_errors(self, key: str = "") -> Iterator[None]:
        """What the server or the way to it says, in the words of the port. The cause is cut off: it quotes requests."""
        try:
            yield
        except MinioException as error:
            raise self._in_words(*_status_and_code(error), key) from None
        except ParseError:
            raise StorageUnavailable(f"what answers at {self._address} is no object storage") from None
        except HTTPError as error:
            raise StorageUnavailable(f"object storage at {self._address} {_reason(error)}") from None

    def _in_words(self, status: int, code: str, key: str) -> StorageError:
        said = f"{status} {code}".strip()
        if code == "NoSuchBucket":
            return NoSuchBucket(f"object storage at {self._address} has no bucket {self._bucket}")
        if status == 404:
            return ObjectNotFound(f"there is no object {key}")
        if status in LOGIN_STATUS or code in LOGIN_CODES:
            return StorageRefusedLogin(
                f"object storage at {self._address} does not accept the access key and the secret key, "
                f"or they may not use bucket {self._bucket} ({said})"
            )
        if status in PASSING_STATUS or code in PASSING_CODES or status >= 500:
            return StorageUnavailable(f"object storage at {self._address} failed ({said})")
        return StorageError(f"object storage at {self._address} refused a request ({said})")


def _reason(error: HTTPError) -> str:
    """Why a server can't be talked to, without what urllib3 quotes of the request."""
    reason = getattr(error, "reason", None) or error
    for cause in reason.args:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted here ({cause.verify_message}): check TLS_CA and the address"
    return f"can't be reached ({type(reason).__name__})"


def _checksum(content: bytes) -> DictType:
    """Headers with a checksum, which buckets that lock their objects require; none for what goes up in parts."""
    if len(content) > MIN_PART_SIZE:
        return {}
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": digest}


def _status_and_code(error: MinioException) -> tuple[int, str]:
    """The HTTP status and S3's own code for it.

    Errors that servers send as ``text/xml`` or plain text (rclone, some gateways) come as `InvalidResponseError`, which
    tells status and body in its text alone.
    """
    if isinstance(error, S3Error):
        return error.response.status, error.code or ""
    if isinstance(error, ServerError):
        return error.status_code, ""
    status = re.search(r"Response code: (\d{3})", str(error)) if isinstance(error, InvalidResponseError) else None
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    return int(status[1]) if status else 500, code[1] if code else ""
