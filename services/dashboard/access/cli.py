"""``python -m services.dashboard people …`` and ``… token …``: for set-up, and for whoever is locked out.

They need object storage alone, and are audited under the name ``console``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.passwords import SHORTEST
from services.dashboard.access.people import People
from services.dashboard.access.repository import Register
from services.dashboard.access.schemas import NewPerson, NewToken
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.problems import Problem
from services.dashboard.web.roles import Role
from shared.health import configure_logging
from shared.settings import read_settings
from shared.storage import open_store
from shared.storage.port import StorageError

people = typer.Typer(add_completion=False, help="People who may log in.", no_args_is_help=True)
token = typer.Typer(add_completion=False, help="Tokens of programs.", no_args_is_help=True)

BY: Final = "console"
_console = Console()

Generate = Annotated[bool, typer.Option("--generate", help="Make a password, and print it this once.")]


@people.command("add")
def add_person(name: str, role: Role = Role.VIEWER, *, generate: Generate = False) -> None:
    """Add somebody; the password is asked for, or read from the standard input."""
    with _register() as known:
        new = NewPerson(name=name, role=role)
        _tell(known.add(new.name, new.role, None if generate else _ask(), by=BY)[1])


@people.command("list")
def list_people() -> None:
    """Who may log in."""
    with _register() as known:
        table = Table("Name", "Role", "Added by", "Added", "Password set")
        for person in sorted(known.look().people.values(), key=lambda each: each.name):
            times = (f"{moment:%Y-%m-%d %H:%M}" for moment in (person.added_at, person.password_at))
            table.add_row(person.name, person.role.value, person.added_by, *times)
        _console.print(table)


@people.command("role")
def give_role(name: str, role: Role) -> None:
    """Give somebody another role. Their sessions end."""
    with _register() as known:
        known.give_role(name.lower(), role, by=BY)


@people.command("password")
def set_password(name: str, *, generate: Generate = False) -> None:
    """Give somebody another password. Their sessions end."""
    with _register() as known:
        _tell(known.set_password(name.lower(), None if generate else _ask(), by=BY))


@people.command("remove")
def remove_person(name: str) -> None:
    """Remove somebody. Their sessions end."""
    with _register() as known:
        known.remove(name.lower(), by=BY)


@token.command("add")
def add_token(name: str, role: Role = Role.VIEWER, days: int = 90) -> None:
    """Make a token, and print its secret this once."""
    with _register() as known:
        new = NewToken(name=name, role=role, days=days)
        _tell(known.add_token(new.name, new.role, new.days, by=BY)[1])


@token.command("list")
def list_tokens() -> None:
    """The tokens that were not revoked."""
    with _register() as known:
        table = Table("Id", "Name", "Role", "Added by", "Ends")
        for each in known.look().tokens.values():
            table.add_row(each.id, each.name, each.role.value, each.added_by, f"{each.expires_at:%Y-%m-%d %H:%M}")
        _console.print(table)


@token.command("revoke")
def revoke_token(token_id: str) -> None:
    """Make a token worthless."""
    with _register() as known:
        known.revoke_token(token_id, by=BY)


@contextmanager
def _register() -> Iterator[People]:
    """People and tokens as the settings say; what can't be done is one line, and exit code 2."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    try:
        store = open_store(settings)
        yield People(Register(store), Audit(audit_store(settings, store)))
    except (Problem, StorageError, ValueError) as error:
        sys.stderr.write(f"{_in_one_line(error)}\n")
        raise typer.Exit(2) from None


def _in_one_line(error: Exception) -> str:
    if isinstance(error, ValueError) and hasattr(error, "errors"):
        found = error.errors()[0]
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)


def _ask() -> str:
    """The password: typed twice and unseen, or a line of the standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    words = f"Password ({SHORTEST} characters at least)"
    return str(typer.prompt(words, hide_input=True, confirmation_prompt=True))


def _tell(secret: str | None) -> None:
    if secret is not None:
        sys.stdout.write(f"{secret}\n")
