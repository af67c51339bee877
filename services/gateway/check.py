"""Connect to each output and encoder in the file of the lines, as a check: ``python -m services.gateway check``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing

from services.gateway.encoders.reading import open_reader
from services.gateway.lines import LinesFile
from services.gateway.outputs.opening import open_output
from services.gateway.outputs.port import OutputUnavailable


def check_outputs(lines: LinesFile) -> bool:
    """Print a line for each output and encoder, and return whether all of them can be reached."""
    failures = 0
    for line, outputs in lines.outputs.items():
        with ExitStack() as opened:
            receivers = {name: open_output(settings, line) for name, settings in outputs.items()}
            checks = {name: opened.enter_context(closing(output)).check for name, output in receivers.items()}
            if encoder := lines.encoders.get(line):
                checks["encoder"] = open_reader(encoder, receivers).check
            for name, check in checks.items():
                try:
                    check()
                    found = "ok"
                except OutputUnavailable as error:
                    failures += 1
                    found = str(error)
                sys.stdout.write(f"{line}/{name}: {found}\n")
    return not failures
