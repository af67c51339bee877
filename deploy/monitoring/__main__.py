"""Print Grafana's dashboard: ``python -m deploy.monitoring > deploy/monitoring/grafana/seamline.json``.

The dashboard is the table below; a test compares the file with it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
WIDTH: Final = 24
"""Columns of a row of panels."""
HEIGHT: Final = 8


@dataclass(frozen=True)
class Panel:
    """A chart, or a number if ``kind`` is stat."""

    title: str
    queries: dict[str, str]
    """PromQL by legend."""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    red_from: float | None = None
    """Values from here on are red."""


LINE: Final = 'line=~"$line"'
ROWS: Final[dict[str, list[Panel]]] = {
    "Now": [
        Panel("Alerts", {"": 'count(ALERTS{alertstate="firing"}) or vector(0)'}, kind="stat", width=4, red_from=1),
        Panel("Frames inspected", {"": f"sum(rate(dashboard_verdicts_total{{{LINE}}}[1m]))"}, "cps", "stat", 4),
        Panel(
            "NG, of ok and NG",
            {
                "": f'sum(rate(dashboard_verdicts_total{{{LINE}, verdict="ng"}}[15m]))'
                f' / sum(rate(dashboard_verdicts_total{{{LINE}, verdict!="error"}}[15m]))'
            },
            "percentunit",
            "stat",
            4,
        ),
        Panel(
            "Capture to verdict, 95 %",
            {
                "": "histogram_quantile(0.95, sum by (le) "
                f"(rate(dashboard_capture_to_verdict_seconds_bucket{{{LINE}}}[5m])))"
            },
            "s",
            "stat",
            4,
            red_from=5,
        ),
        Panel("Storage is full in", {"": "min(dashboard_storage_full_days)"}, "d", "stat", 4),
        Panel("Stalled loops", {"": "sum(seamline_stalled_loops)"}, "short", "stat", 4, red_from=1),
    ],
    "Line": [
        Panel(
            "Verdicts per second",
            {"{{line}} {{verdict}}": f"sum by (line, verdict) (rate(dashboard_verdicts_total{{{LINE}}}[1m]))"},
            "cps",
        ),
        Panel(
            "Capture to verdict",
            {
                f"{{{{line}}}} {share} %": f"histogram_quantile({share / 100}, sum by (line, le) "
                f"(rate(dashboard_capture_to_verdict_seconds_bucket{{{LINE}}}[5m])))"
                for share in (50, 99)
            },
            "s",
        ),
        Panel(
            "Messages that wait",
            {"{{queue}}": 'sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue!~".+\\\\.(parked|suspects)"})'},
        ),
        Panel(
            "Captured and dropped",
            {
                "{{line}} {{camera}}": f"rate(seamline_camera_captured_total{{{LINE}}}[1m])",
                "{{line}} {{camera}} dropped": f"rate(seamline_camera_dropped_total{{{LINE}}}[1m])",
            },
            "cps",
        ),
        Panel(
            "Outbox, used",
            {"{{line}} {{camera}}": f"seamline_camera_outbox_fullness{{{LINE}}}"},
            "percentunit",
            red_from=0.5,
        ),
        Panel(
            "Cameras that can't see",
            {
                "{{line}} {{camera}} {{seamline_camera_sight}}": f"seamline_camera_sight{{{LINE}, "
                'seamline_camera_sight!="clear"} == 1'
            },
            red_from=1,
        ),
        Panel(
            "Images that became no frames",
            {"{{line}} {{camera}}": f"rate(seamline_camera_unreadable_total{{{LINE}}}[5m])"},
            "cps",
        ),
        Panel(
            "Parts decided per second",
            {"{{line}} {{verdict}}": f"sum by (line, verdict) (rate(seamline_gateway_parts_total{{{LINE}}}[5m]))"},
            "cps",
        ),
        Panel(
            "Triggers",
            {
                "{{line}} {{camera}} {{outcome}}": "sum by (line, camera, outcome) "
                f"(rate(seamline_camera_triggers_total{{{LINE}}}[5m]))"
            },
            "cps",
        ),
        Panel(
            "Parked messages and suspects",
            {"{{queue}}": 'sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~".+\\\\.(parked|suspects)"})'},
            red_from=1,
        ),
    ],
    "Factory": [
        Panel(
            "Capture to decision",
            {
                f"{{{{line}}}} {share} %": f"histogram_quantile({share / 100}, sum by (line, le) "
                f"(rate(seamline_gateway_decision_seconds_bucket{{{LINE}}}[5m])))"
                for share in (50, 99)
            },
            "s",
        ),
        Panel(
            "Parts not inspected",
            {
                "{{line}}": f'sum by (line) (rate(seamline_gateway_parts_total{{{LINE}, verdict="not_inspected"}}[5m]))'
                f" / sum by (line) (rate(seamline_gateway_parts_total{{{LINE}}}[5m]))"
            },
            "percentunit",
            red_from=0.01,
        ),
        Panel("Parts not decided yet", {"{{instance}}": "seamline_gateway_pending_parts"}),
        Panel(
            "Signals",
            {
                "{{line}} {{output}} {{outcome}}": "sum by (line, output, outcome) "
                f"(rate(seamline_gateway_signals_total{{{LINE}}}[5m]))"
            },
            "cps",
        ),
        Panel("Outputs that fail", {"{{line}} {{output}}": f"seamline_gateway_output_up{{{LINE}}} == 0"}),
        Panel(
            "Late frames and repeated verdicts",
            {
                "{{line}} late": f"rate(seamline_gateway_late_frames_total{{{LINE}}}[5m])",
                "{{instance}} repeated": "rate(seamline_gateway_repeated_verdicts_total[5m])",
            },
            "cps",
        ),
    ],
    "Workers": [
        Panel(
            "Frames per second of each worker",
            {"{{instance}}": "sum by (instance) (rate(seamline_inference_frames_total[1m]))"},
            "cps",
        ),
        Panel(
            "Seconds of each step of a batch",
            {
                "{{step}}": "sum by (step) (rate(seamline_inference_step_seconds_sum[5m]))"
                " / sum by (step) (rate(seamline_inference_step_seconds_count[5m]))"
            },
            "s",
        ),
        Panel(
            "Model of each worker",
            {"{{version}}": "sum by (version) (seamline_inference_model)"},
            width=8,
        ),
        Panel(
            "Heatmaps",
            {"{{line}} {{outcome}}": f"sum by (line, outcome) (rate(seamline_explainer_frames_total{{{LINE}}}[1m]))"},
            "cps",
        ),
        Panel("Memory", {"{{job}} {{instance}}": "process_resident_memory_bytes"}, "bytes"),
        Panel("Processors", {"{{job}} {{instance}}": "rate(process_cpu_seconds_total[1m])"}),
    ],
    "Storage and archive": [
        Panel("Stored, by kind", {"{{kind}}": "max by (kind) (dashboard_stored_bytes)"}, "decbytes"),
        Panel(
            "Removed by retention rules",
            {"{{kind}}": "sum by (kind) (increase(seamline_removed_objects_total[1h]))"},
        ),
        Panel("Messages not in the archive yet", {"{{instance}}": "dashboard_archive_waiting"}),
        Panel("Servers away", {"{{server}}": "max by (server) (dashboard_server_away)"}, red_from=1),
        Panel(
            "Certificates expire in",
            {"{{job}} {{file}}": "seamline_certificate_expiry_seconds - time()"},
            "s",
        ),
        Panel(
            "Trainings that ended",
            {"{{state}}": "sum by (state) (increase(seamline_trainings_total[1d]))"},
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": "seamline",
        "title": "Seamline",
        "tags": ["seamline"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_variable()]},
        "panels": _panels(),
    }


def _variable() -> dict[str, Any]:
    """Return the choice of lines."""
    query = "label_values(seamline_camera_captured_total, line)"
    return {
        "name": "line",
        "label": "Line",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "line"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[dict[str, Any]]:
    """Return a heading and the panels of each row, placed from left to right and from top to bottom."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)})
        left, top = 0, top + 1
        for panel in row:
            if left + panel.width > WIDTH:
                left, top = 0, top + HEIGHT
            panels.append(_panel(panel, _place(left, top, panel.width, HEIGHT)))
            left += panel.width
        top += HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
