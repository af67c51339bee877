"""Say which panels of the Grafana dashboard have data: ``python -m deploy.monitoring.panel_data http://127.0.0.1:9090``.

It asks a Prometheus for the queries of each panel, as Grafana does. A panel without data is no error: perhaps nothing
was dropped yet, or the line has no triggers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

import typer
import urllib3
from urllib3.exceptions import HTTPError

from deploy.monitoring.__main__ import ROWS


def main(prometheus: Annotated[str, typer.Argument(help="The address of Prometheus.")]) -> None:
    """Print the number of series of each panel, and end with code 1 if Prometheus does not answer a query."""
    panels = [(row, panel) for row, panels in ROWS.items() for panel in panels]
    empty = 0
    for row, panel in panels:
        series = sum(_series_of(prometheus, query.replace("$line", ".*")) for query in panel.queries.values())
        empty += not series
        typer.echo(f"{series:4} series  {row}: {panel.title}")
    typer.echo(f"{len(panels) - empty} of {len(panels)} panels have data")


def _series_of(prometheus: str, query: str) -> int:
    address = f"{prometheus.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
    try:
        answer = urllib3.request("GET", address, timeout=30, retries=False)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            typer.echo(f"{prometheus} answers with status 503: ask again when Prometheus has started", err=True)
            raise typer.Exit(1)
        found = answer.json()
    except (HTTPError, ValueError) as error:
        typer.echo(f"{prometheus} does not answer as Prometheus: {type(error).__name__}", err=True)
        raise typer.Exit(1) from None
    if found["status"] != "success":
        typer.echo(f"Prometheus refuses {query}: {found['error']}", err=True)
        raise typer.Exit(1)
    return len(found["data"]["result"])


if __name__ == "__main__":
    typer.run(main)
