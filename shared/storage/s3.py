"""Object storage in a bucket of a server with the S3 API."""

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
    check_key,
    check_prefix,
)

CONNECT_SECONDS: Final = 1.5
RETRIES: Final = urllib3.Retry(
    connect=1, read=1, status=2, redirect=0, other=0, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
)
"""Retries after short failures; the caller decides how to wait for a server that is unavailable."""
SETTLE_SECONDS: Final = 1.0
"""Pause after `create` on a server without conditional writes, in which a concurrent `create` would show."""
TRANSIENT_STATUSES: Final = frozenset({408, 409, 429})
"""HTTP statuses of transient errors, besides 500 and above. S3 sends ``RequestTimeout`` with 408, ``OperationAborted``
with 409, and ``SlowDown`` with 503."""
TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
"""S3's error codes of transient errors, whatever the HTTP status is."""
ACCESS_DENIED_STATUSES: Final = frozenset({401, 403})
ACCESS_DENIED_CODES: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""S3's error codes for access keys that are not accepted any more, whatever the HTTP status is."""
POOL_SIZE: Final = 64
"""Most connections that stay open for later calls. The dashboard has about 52 threads, so it never needs more; a
connection is opened only when no other is free, so the other services have a few."""


class NoSuchBucket(StorageError):
    """The bucket does not exist yet; the first put creates it."""


class MinioStore:
    """Store objects in one bucket. The server is contacted by the first call, so it may start later."""

    def __init__(
        self, address: str, bucket: str, access_key: str, secret_key: str, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        self._bucket = bucket
        self._has_conditional_writes: bool | None = None
        """Whether the server supports conditional writes; None until the first object is created."""
        self._http = paced_pool(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=QUIET_SECONDS),
            retries=RETRIES.new(raise_on_status=False),
            maxsize=POOL_SIZE,
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
            raise StorageError(f"{bucket!r} at {address!r} is not a valid bucket: {error}") from None

    def ensure_bucket(self) -> None:
        """Create the bucket if it does not exist and the user may create it; several services may do so concurrently.

        Raises:
            StorageRefusedLogin: the server rejects the access keys.
            StorageUnavailable: the server did not answer.
        """
        try:
            with self._storage_errors():
                # a presigned URL needs the bucket's location, which every user may read; `bucket_exists` would need
                # the right to list the bucket
                self._client.get_presigned_url("GET", self._bucket, "any")
        except NoSuchBucket:
            self._make_bucket()

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        check_key(key)
        try:
            self._put(key, content, content_type)
        except NoSuchBucket:
            self._make_bucket()
            self._put(key, content, content_type)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Store ``content`` under ``key`` if there is no object, by S3's conditional write; return as the port says.

        The first call tests whether the server ignores the condition, by writing the object twice. On such a server, an
        object counts as created if it is unchanged after `SETTLE_SECONDS`.
        """
        check_key(key)
        if self.exists(key) or not self._put_if_absent(key, content, content_type):
            return self._has_content(key, content)
        if self._has_conditional_writes is None:
            self._has_conditional_writes = not self._put_if_absent(key, content, content_type)
        if self._has_conditional_writes:
            return True
        time.sleep(SETTLE_SECONDS)
        return self._has_content(key, content)

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        check_key(key)
        try:
            with self._storage_errors(key), self._client.get_object(self._bucket, key) as response:
                size = int(response.headers.get("Content-Length", 0))
                if most_bytes is None or size <= most_bytes:
                    # return the stored bytes: a content encoding that the writer set is not decoded
                    return bytes(response.read(decode_content=False))
                response.close()  # an unread response would block the next request
        except NoSuchBucket:
            raise ObjectNotFound(f"there is no object {key}") from None
        raise ObjectTooLarge(f"object {key} has {size:,} bytes, and the limit is {most_bytes:,}")

    def exists(self, key: str) -> bool:
        check_key(key)
        try:
            with self._storage_errors(key):
                self._client.stat_object(self._bucket, key)
        except (ObjectNotFound, NoSuchBucket):
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        return (entry.key for entry in self._list(check_prefix(prefix)))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        return self._list(check_prefix(prefix))

    def delete(self, key: str) -> None:
        check_key(key)
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
        headers: DictType = {}
        if len(content) <= MIN_PART_SIZE:  # a multipart upload takes no checksum of the whole
            # buckets with object lock require a checksum
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            headers = {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": digest}
        with self._storage_errors(key):
            self._client.put_object(
                self._bucket, key, io.BytesIO(content), len(content), content_type, metadata=headers
            )

    def _put_if_absent(self, key: str, content: bytes, content_type: str) -> bool:
        """Store an object if there is none under the key. Return whether the server stored it.

        A server that ignores the condition always stores it.
        """
        with self._storage_errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, key, expires=timedelta(minutes=5))
            headers = {"If-None-Match": "*", "Content-Type": content_type}
            response = self._http.request("PUT", url, body=content, headers=headers)
        if response.status < 300:
            return True
        code = re.search(rb"<Code>(\w+)</Code>", response.data)
        error = self._to_storage_error(response.status, code[1].decode() if code else "", key)
        if isinstance(error, NoSuchBucket):
            self._make_bucket()
            return self._put_if_absent(key, content, content_type)
        if response.status in (409, 412):
            return False
        raise error

    def _has_content(self, key: str, content: bytes) -> bool:
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
        """Turn errors of the client into those of the port, without their cause, because it quotes signed requests."""
        try:
            yield
        except MinioException as error:
            raise self._to_storage_error(*_status_and_code(error), key) from None
        except ParseError:
            raise StorageUnavailable(f"the server at {self._address} is not an S3 object store") from None
        except HTTPError as error:
            raise _unavailable(self._address, error) from None

    def _to_storage_error(self, status: int, code: str, key: str) -> StorageError:
        status_text = f"{status} {code}".strip()
        if code == "NoSuchBucket":
            return NoSuchBucket(f"object storage at {self._address} has no bucket {self._bucket}")
        if status == 404:
            return ObjectNotFound(f"there is no object {key}")
        if status in ACCESS_DENIED_STATUSES or code in ACCESS_DENIED_CODES:
            return StorageRefusedLogin(
                f"object storage at {self._address} does not accept the access key and the secret key, "
                f"or they may not use bucket {self._bucket} ({status_text})"
            )
        if status in TRANSIENT_STATUSES or code in TRANSIENT_CODES or status >= 500:
            return StorageUnavailable(f"object storage at {self._address} failed ({status_text})")
        return StorageError(f"object storage at {self._address} refused a request ({status_text})")


def _unavailable(address: str, error: HTTPError) -> StorageUnavailable:
    """Return the error of a connection that failed, without the request that urllib3 quotes."""
    reason = getattr(error, "reason", None) or error
    for cause in reason.args:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return StorageUnavailable(
                f"object storage at {address} has a certificate that is not trusted here ({cause.verify_message}): "
                "check TLS_CA and the address"
            )
    return StorageUnavailable(f"object storage at {address} can't be reached ({type(reason).__name__})")


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
