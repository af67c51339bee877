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
from datetime import UTC, datetime, timedelta
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
    StoredObject,
    checked_key,
    checked_prefix,
)

CONNECT_SECONDS: Final = 1.5
TRIES: Final = urllib3.Retry(
    connect=1, read=1, status=2, redirect=0, other=0, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
)
"""Retries for short failures; the caller decides how to wait for a server that is unavailable."""
SETTLE_SECONDS: Final = 1.0
"""Longer than the time between two clients that create the same object concurrently."""
PASSING_STATUS: Final = frozenset({408, 409, 429})
"""And all from 500 on. S3 sends ``SlowDown`` with 503, ``RequestTimeout`` with 408, ``OperationAborted`` with 409."""
PASSING_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
"""Codes with other statuses that a slow or broken connection causes."""
LOGIN_STATUS: Final = frozenset({401, 403})
LOGIN_CODES: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""Codes with other statuses for access keys that are not accepted any more."""
CONNECTIONS: Final = 64
"""Connections that stay open for the next call, at most: more than the dashboard has threads (40 for requests, and a
dozen). A connection is opened when no other is free, so the other services have a few."""


class NoSuchBucket(StorageError):
    """The bucket does not exist yet; the first put creates it."""


class MinioStore:
    """Store objects in one bucket. The server is contacted by the first call, so it may start later."""

    def __init__(
        self, address: str, bucket: str, access_key: str, secret_key: str, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        self._bucket = bucket
        self._conditional: bool | None = None
        """Whether the server supports conditional writes; None until the first object is created."""
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
        """Create the bucket if it does not exist and the user may create it; several services may call this at once.

        Raises:
            StorageRefusedLogin: the server rejects the access keys.
            StorageUnavailable: the server did not answer.
        """
        try:
            with self._storage_errors():
                # this asks for the bucket's location, which every user may; `bucket_exists` needs the right to list it
                self._client.get_presigned_url("GET", self._bucket, "any")
        except NoSuchBucket:
            self._make_bucket()

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        checked_key(key)
        try:
            self._put(key, content, content_type)
        except NoSuchBucket:
            self._make_bucket()
            self._put(key, content, content_type)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Store ``content`` under ``key`` if there is no object, by S3's conditional write.

        The first object shows whether the server ignores the condition; on such a server, an object counts as created
        when it is unchanged after `SETTLE_SECONDS`.
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
        checked_key(key)
        try:
            with self._storage_errors(key), self._client.get_object(self._bucket, key) as response:
                size = int(response.headers.get("Content-Length", 0))
                if most is None or size <= most:
                    # as it is stored: the writer may have set a content encoding, which is not decoded here
                    return bytes(response.read(decode_content=False))
                response.close()  # an unread answer would block the next request
        except NoSuchBucket:
            raise ObjectNotFound(f"there is no object {key}") from None
        raise ObjectTooLarge(f"object {key} has {size:,} bytes, and {most:,} are read at most")

    def exists(self, key: str) -> bool:
        checked_key(key)
        try:
            with self._storage_errors(key):
                self._client.stat_object(self._bucket, key)
        except (ObjectNotFound, NoSuchBucket):
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        return (entry.key for entry in self._list(checked_prefix(prefix)))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        return self._list(checked_prefix(prefix))

    def delete(self, key: str) -> None:
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
        """Return whether the server stored it; always True on a server that ignores the condition."""
        with self._storage_errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, key, expires=timedelta(minutes=5))
            headers = {"If-None-Match": "*", "Content-Type": content_type}
            answer = self._http.request("PUT", url, body=content, headers=headers)
        if answer.status < 300:
            return True
        code = re.search(rb"<Code>(\w+)</Code>", answer.data)
        error = self._to_storage_error(answer.status, code[1].decode() if code else "", key)
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

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        try:
            with self._storage_errors():
                for entry in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                    if entry.object_name:
                        stored_at = entry.last_modified or datetime.now(UTC)
                        yield StoredObject(entry.object_name, entry.size or 0, stored_at)
        except NoSuchBucket:
            return

    @contextmanager
    def _storage_errors(self, key: str = "") -> Iterator[None]:
        """Turn errors of the client into those of the port, without their cause, which quotes requests."""
        try:
            yield
        except MinioException as error:
            raise self._to_storage_error(*_status_and_code(error), key) from None
        except ParseError:
            raise StorageUnavailable(f"what answers at {self._address} is no object storage") from None
        except HTTPError as error:
            raise StorageUnavailable(f"object storage at {self._address} {_reason(error)}") from None

    def _to_storage_error(self, status: int, code: str, key: str) -> StorageError:
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
    """Return why a server can't be reached, without the parts of the request that urllib3 quotes."""
    reason = getattr(error, "reason", None) or error
    for cause in reason.args:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted here ({cause.verify_message}): check TLS_CA and the address"
    return f"can't be reached ({type(reason).__name__})"


def _checksum(content: bytes) -> DictType:
    """Return headers with a checksum, which buckets with object lock require; none for multipart uploads."""
    if len(content) > MIN_PART_SIZE:
        return {}
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": digest}


def _status_and_code(error: MinioException) -> tuple[int, str]:
    """Return the HTTP status and S3's own code of an error.

    Errors that servers send as ``text/xml`` or plain text (rclone, some gateways) are raised as `InvalidResponseError`,
    which has status and body only in its text.
    """
    if isinstance(error, S3Error):
        return error.response.status, error.code or ""
    if isinstance(error, ServerError):
        return error.status_code, ""
    status = re.search(r"Response code: (\d{3})", str(error)) if isinstance(error, InvalidResponseError) else None
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    return int(status[1]) if status else 500, code[1] if code else ""
