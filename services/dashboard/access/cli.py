"""The commands ``python -m services.dashboard people …`` and ``… token …``, for set-up and if no admin can log in.

They need only object storage. The audit log has their actions under the name ``console``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.passwords import SHORTEST
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.schemas import NewPerson, NewToken
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import Problem
from shared.environment import read_settings
from shared.logging import configure_logging
from shared.storage.opening import open_store
from shared.storage.port import StorageError
from shared.validation import describe

people_cli = typer.Typer(add_completion=False, help="People who may log in.", no_args_is_help=True)
token_cli = typer.Typer(add_completion=False, help="Tokens of programs.", no_args_is_help=True)

BY: Final = "console"
_console = Console()

Generate = Annotated[bool, typer.Option("--generate", help="Generate a password, and print it.")]


@people_cli.command("add")
def add_person(name: str, role: Role = Role.VIEWER, *, generate: Generate = False) -> None:
    """Add a person, with a password from the terminal or from standard input."""
    with _open_people() as people:
        new = NewPerson(name=name, role=role)
        _print_secret(people.add(new.name, new.role, None if generate else _read_password(), by=BY)[1])


@people_cli.command("list")
def list_people() -> None:
    """List the people who may log in."""
    with _open_people() as people:
        table = Table("Name", "Role", "Added by", "Added", "Password set")
        for person in sorted(people.directory().people.values(), key=lambda each: each.name):
            times = (f"{moment:%Y-%m-%d %H:%M}" for moment in (person.added_at, person.password_at))
            table.add_row(person.name, person.role.value, person.added_by, *times)
        _console.print(table)


@people_cli.command("role")
def change_role(name: str, role: Role) -> None:
    """Change the role of a person, and end their sessions."""
    with _open_people() as people:
        people.change_role(name.lower(), role, by=BY)


@people_cli.command("password")
def change_password(name: str, *, generate: Generate = False) -> None:
    """Change the password of a person, and end their sessions."""
    with _open_people() as people:
        _print_secret(people.change_password(name.lower(), None if generate else _read_password(), by=BY))


@people_cli.command("remove")
def remove_person(name: str) -> None:
    """Remove a person, and end their sessions."""
    with _open_people() as people:
        people.remove(name.lower(), by=BY)


@token_cli.command("add")
def add_token(name: str, role: Role = Role.VIEWER, days: int = 90) -> None:
    """Make a token, and print its secret, which is not stored."""
    with _open_people() as people:
        new = NewToken(name=name, role=role, days=days)
        _print_secret(people.add_token(new.name, new.role, new.days, by=BY)[1])


@token_cli.command("list")
def list_tokens() -> None:
    """List the tokens that are not revoked."""
    with _open_people() as people:
        table = Table("Id", "Name", "Role", "Added by", "Ends")
        for each in people.directory().tokens.values():
            table.add_row(each.id, each.name, each.role.value, each.added_by, f"{each.expires_at:%Y-%m-%d %H:%M}")
        _console.print(table)


@token_cli.command("revoke")
def revoke_token(token_id: str) -> None:
    """Revoke a token."""
    with _open_people() as people:
        people.revoke_token(token_id, by=BY)


@contextmanager
def _open_people() -> Iterator[People]:
    """Yield the people in the storage of the settings; at an error, print one line and exit with code 2."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    try:
        store = open_store(settings)
        yield People(PeopleRepository(store), Audit(audit_store(settings, store)))
    except ValidationError as error:
        found = error.errors()[0]
        sys.stderr.write(f"{'.'.join(map(str, found['loc']))}: {describe(found)}\n")
        raise typer.Exit(2) from None
    except (Problem, StorageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(2) from None


def _read_password() -> str:
    """Read a password: twice from the terminal, without echo, or a line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    prompt = f"Password ({SHORTEST} characters at least)"
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=True))


def _print_secret(secret: str | None) -> None:
    if secret is not None:
        sys.stdout.write(f"{secret}\n")
