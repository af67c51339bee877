"""Open the object storage that the settings name."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from shared.settings import STORES, ServiceSettings, folder_of
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectStore, StorageError, StorageRefusedLogin, StorageUnavailable
from shared.storage.s3 import MinioStore

LOGIN_ATTEMPTS: Final = 3
"""A server that starts or reloads its users may reject valid keys for a moment."""

log = structlog.get_logger(__name__)


def open_store(settings: ServiceSettings, url: str = "") -> ObjectStore:
    """Open the object storage at ``url``, or at the address of the settings: a folder, or a bucket.

    A missing folder or bucket is created. If the server is unavailable, that is logged, and calls fail until it is
    available.

    Raises:
        StorageRefusedLogin: the server rejects the access keys.
        StorageError: the address is wrong, or the folder can't be created.
    """
    url = url or settings.storage_url
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            try:
                return FilesystemStore(folder_of(url))
            except ValueError as error:
                raise StorageError(f"storage address: {error}") from None
        case "s3" | "s3s":
            return open_bucket(settings, parts)
        case _:
            raise StorageError(f"storage address: start it with one of {', '.join(f'{each}://' for each in STORES)}")


def open_bucket(settings: ServiceSettings, parts: SplitResult) -> MinioStore:
    """Open the bucket of an address, and create it if necessary; see `open_store`."""
    bucket = parts.path.strip("/")
    if not parts.netloc or not bucket or "/" in bucket:
        raise StorageError(f"storage address: write {parts.scheme}://HOST:PORT/BUCKET, with one bucket")
    secret = settings.storage_secret_key.get_secret_value()
    tls = settings.client_tls() if parts.scheme == "s3s" else None
    store = MinioStore(parts.netloc, bucket, settings.storage_access_key, secret, tls=tls)
    try:
        Retrying(
            retry=retry_if_exception_type(StorageRefusedLogin),
            stop=stop_after_attempt(LOGIN_ATTEMPTS),
            wait=wait_exponential(multiplier=0.5),
            reraise=True,
        )(store.ensure_bucket)
    except StorageRefusedLogin:
        raise
    except StorageUnavailable as error:
        log.warning("starting without object storage", reason=str(error))
    return store
