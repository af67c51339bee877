"""The commands ``check`` and ``save`` of ``python -m services.gateway``, for the file of the lines."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from services.gateway.check import check_outputs
from services.gateway.lines import LinesFile, read_lines
from services.gateway.settings import GatewaySettings
from shared.environment import read_settings
from shared.errors import CannotStart


def run_command(arguments: Sequence[str]) -> int:
    """Run a command, and return the exit code: 0 done, 1 an output can't be reached, 2 a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway", description="Without a command, run the gateway."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="connect to each output and encoder, and say what fails")
    check.add_argument("file", nargs="?", type=Path, help="file of the lines; by default that of GATEWAY_LINES")
    save = commands.add_parser("save", help="check a file of the lines, and put it in the place of GATEWAY_LINES")
    save.add_argument("file", type=Path, help="file of the lines")
    save.add_argument("--force", action="store_true", help="save it although an output can't be reached")
    given = parser.parse_args(arguments)
    in_force = read_settings(GatewaySettings).lines
    try:
        if given.command == "check":
            return check_file(given.file or in_force, in_force)
        return save_file(given.file, in_force, force=given.force)
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 2


def check_file(file: Path | None, in_force: Path | None) -> int:
    """Print a line for each output and encoder, and return 1 if one of them can't be reached."""
    if file is None or not file.exists():
        raise CannotStart(f"{file or 'no file of the lines'}: not found: name the file, or set GATEWAY_LINES")
    checked = check_outputs(read_lines(file), _read_in_force(in_force))
    for each in checked:
        sys.stdout.write(f"{each}\n")
    return int(any(each.failure for each in checked))


def save_file(file: Path, target: Path | None, *, force: bool) -> int:
    """Check a file, and put its content in the place of the file in force, unless an output can't be reached."""
    if target is None:
        raise CannotStart("set GATEWAY_LINES: it names the place of the file")
    unreachable = check_file(file, target)
    if unreachable and not force:
        sys.stderr.write("not saved: an output can't be reached. Mend it, or save with --force if it is off for now\n")
        return 1
    part = target.with_name(f".{target.name}.part")
    try:
        content = file.read_bytes()
        part.touch(0o600)  # an address may hold a token
        part.write_bytes(content)
        shutil.copymode(target if target.exists() else file, part)
        part.replace(target)
    except OSError as error:
        raise CannotStart(f"{target}: can't be written ({error.strerror}): copy {file} there yourself") from error
    sys.stdout.write(f"saved as {target}: start the gateway again to use it\n")
    return 0


def _read_in_force(file: Path | None) -> LinesFile:
    """Return the settings of a gateway that may run; without any if its file can't be used."""
    try:
        return read_lines(file) if file and file.exists() else LinesFile()
    except CannotStart:
        return LinesFile()
