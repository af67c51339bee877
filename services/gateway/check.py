"""Connect to each output in the file of the lines, as a check: ``python -m services.gateway check``."""

from __future__ import annotations

import sys
from contextlib import closing

from services.gateway.lines import LinesFile
from services.gateway.outputs.opening import open_output
from services.gateway.outputs.port import OutputUnavailable


def check_outputs(lines: LinesFile) -> bool:
    """Print a line for each output, and return whether all of them can be reached."""
    all_reached = True
    for line, outputs in lines.outputs.items():
        for name, settings in outputs.items():
            try:
                with closing(open_output(settings, line)) as output:
                    output.check()
            except OutputUnavailable as error:
                all_reached = False
                sys.stdout.write(f"{line}/{name}: {error}\n")
            else:
                sys.stdout.write(f"{line}/{name}: ok\n")
    return all_reached
