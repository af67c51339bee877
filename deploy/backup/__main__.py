"""``python -m deploy.backup save FOLDER``, ``… check FOLDER``, ``… restore FOLDER``.

It needs the root user of the object store, whose address and password are those of the set-up: ``OBJECT_STORE_URL``,
``OBJECT_STORE_ROOT_USER`` and ``OBJECT_STORE_ROOT_PASSWORD``. A ``file:`` address needs no user.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import typer
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from deploy.backup.copying import AUDIT, MAIN, Backup, BackupError, CountDone
from shared.environment import read_settings
from shared.settings import STORES, SecretFileSettings, ServiceSettings, split_address
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageError

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="Back up everything that is stored, and restore it.")
Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]
_console = Console(stderr=True)


class BackupSettings(SecretFileSettings):
    """The address of the storage, and its root user."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    object_store_url: str = Field(
        "s3://object-store:9000/seamline", description="s3[s]://HOST:PORT/BUCKET, or file:///FOLDER"
    )
    object_store_root_user: str = "root"
    object_store_root_password: SecretStr = SecretStr("")
    object_store_tls_ca: Path | None = None

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if split_address("OBJECT_STORE_URL", self.object_store_url).scheme not in STORES:
            raise ValueError(f"OBJECT_STORE_URL starts with one of {', '.join(scheme + '://' for scheme in STORES)}")
        if self.on_server and not self.object_store_root_password.get_secret_value():
            raise ValueError("set OBJECT_STORE_ROOT_PASSWORD: the object store asks for it")
        return self

    @property
    def on_server(self) -> bool:
        """Return whether the storage is a server, where the audit log has a bucket of its own."""
        return urlsplit(self.object_store_url).scheme != "file"

    def open(self) -> dict[str, ObjectStore]:
        """Return the storages by their names in a backup."""
        addresses = {MAIN: self.object_store_url}
        if self.on_server:
            addresses[AUDIT] = f"{self.object_store_url}-audit"
        return {
            name: open_store(
                ServiceSettings(
                    broker_url="sqlite:///none",
                    storage_url=address,
                    storage_access_key=self.object_store_root_user,
                    storage_secret_key=self.object_store_root_password,
                    tls_ca=self.object_store_tls_ca,
                )
            )
            for name, address in addresses.items()
        }


@cli.command()
def save(folder: Folder) -> None:
    """Copy everything that is stored; services may run. A further backup in the same folder copies only new objects."""
    with _one_line_errors(), _counting("copied") as progress:
        done = Backup(folder).save(read_settings(BackupSettings).open(), progress)
    _console.print(f"{done.objects:,} objects, {done.size / 1e6:,.1f} MB, in {folder}; {done.unchanged:,} were there")


@cli.command()
def check(folder: Folder) -> None:
    """Read a whole backup, and compare each file with its digest."""
    with _one_line_errors(), _counting("checked") as progress:
        count = Backup(folder).check(progress)
    _console.print(f"{count:,} objects are as they were backed up")


@cli.command()
def restore(folder: Folder) -> None:
    """Fill an empty storage from a backup; start the services afterwards."""
    with _one_line_errors(), _counting("restored") as progress:
        count = Backup(folder).restore(read_settings(BackupSettings).open(), progress)
    _console.print(f"{count:,} objects are restored: start the services with an empty Redis, and counts are made again")


@contextmanager
def _counting(what: str) -> Iterator[CountDone]:
    """Show the number of objects that are done; yield the function to call with the number of further objects."""
    columns = (TextColumn(what), TextColumn("{task.completed:,.0f} objects"), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done: shown.advance(task, done)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (BackupError, StorageError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        raise SystemExit(2 if isinstance(error, BackupError) else 1) from None


if __name__ == "__main__":
    cli()
