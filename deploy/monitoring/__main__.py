"""Print the Grafana dashboard: ``python -m deploy.monitoring > deploy/monitoring/grafana/seamline.json``.

`ROWS` defines the Grafana dashboard. A test checks that ``grafana/seamline.json`` is up to date.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
ROW_COLUMNS: Final = 24
"""Width of a row of panels, in columns of Grafana's grid."""
PANEL_HEIGHT: Final = 8
"""Height of a panel, in lines of Grafana's grid."""


@dataclass(frozen=True)
class Panel:
    """A time series chart, or a single value if ``kind`` is ``stat``."""

    title: str
    queries: dict[str, str]
    """Maps the legend of each series to its PromQL query."""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    """In columns of Grafana's grid."""
    red_threshold: float | None = None
    """Values at or above it are red."""


LINE: Final = 'line=~"$line"'
ROWS: Final[dict[str, list[Panel]]] = {
    "Now": [
        Panel("Alerts", {"": 'count(ALERTS{alertstate="firing"}) or vector(0)'}, kind="stat", width=4, red_threshold=1),
        Panel("Frames inspected", {"": f"sum(rate(dashboard_verdicts_total{{{LINE}}}[1m]))"}, "cps", "stat", 4),
        Panel(
            "Defect rate (frames)",
            {
                "": f'sum(rate(dashboard_verdicts_total{{{LINE}, verdict="ng"}}[15m]))'
                f' / sum(rate(dashboard_verdicts_total{{{LINE}, verdict!="error"}}[15m]))'
            },
            "percentunit",
            "stat",
            4,
        ),
        Panel(
            "Latency, 95th percentile",
            {
                "": "histogram_quantile(0.95, sum by (le) "
                f"(rate(dashboard_capture_to_verdict_seconds_bucket{{{LINE}}}[5m])))"
            },
            "s",
            "stat",
            4,
            red_threshold=5,
        ),
        Panel("Days until storage is full", {"": "min(dashboard_storage_full_days)"}, "d", "stat", 4),
        Panel("Stalled loops", {"": "sum(seamline_stalled_loops)"}, "short", "stat", 4, red_threshold=1),
    ],
    "Line": [
        Panel(
            "Verdicts per second",
            {"{{line}} {{verdict}}": f"sum by (line, verdict) (rate(dashboard_verdicts_total{{{LINE}}}[1m]))"},
            "cps",
        ),
        Panel(
            "Latency, median and 99th percentile",
            {
                f"{{{{line}}}} {share} %": f"histogram_quantile({share / 100}, sum by (line, le) "
                f"(rate(dashboard_capture_to_verdict_seconds_bucket{{{LINE}}}[5m])))"
                for share in (50, 99)
            },
            "s",
        ),
        Panel(
            "Ready messages per queue",
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
            "Outbox usage",
            {"{{line}} {{camera}}": f"seamline_camera_outbox_fullness{{{LINE}}}"},
            "percentunit",
            red_threshold=0.5,
        ),
        Panel(
            "Cameras without clear sight",
            {
                "{{line}} {{camera}} {{seamline_camera_sight}}": f"seamline_camera_sight{{{LINE}, "
                'seamline_camera_sight!="clear"} == 1'
            },
            red_threshold=1,
        ),
        Panel(
            "Unreadable images",
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
            red_threshold=1,
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
            red_threshold=0.01,
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
            "Frames per second per worker",
            {"{{instance}}": "sum by (instance) (rate(seamline_inference_frames_total[1m]))"},
            "cps",
        ),
        Panel(
            "Seconds per step of a micro-batch",
            {
                "{{step}}": "sum by (step) (rate(seamline_inference_step_seconds_sum[5m]))"
                " / sum by (step) (rate(seamline_inference_step_seconds_count[5m]))"
            },
            "s",
        ),
        Panel(
            "Workers per model version",
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
        Panel("Stored bytes by kind of data", {"{{kind}}": "max by (kind) (dashboard_stored_bytes)"}, "decbytes"),
        Panel(
            "Objects removed by retention rules",
            {"{{kind}}": "sum by (kind) (increase(seamline_removed_objects_total[1h]))"},
        ),
        Panel("Messages that are not in the archive yet", {"{{instance}}": "dashboard_archive_waiting"}),
        Panel("Unavailable servers", {"{{server}}": "max by (server) (dashboard_server_away)"}, red_threshold=1),
        Panel(
            "Time until certificates expire",
            {"{{job}} {{file}}": "seamline_certificate_expiry_seconds - time()"},
            "s",
        ),
        Panel(
            "Trainings that ended",
            {"{{state}}": "sum by (state) (increase(seamline_trainings_total[1d]))"},
        ),
    ],
}


def make_dashboard() -> dict[str, Any]:
    """Return the Grafana dashboard in Grafana's JSON format."""
    return {
        "uid": "seamline",
        "title": "Seamline",
        "tags": ["seamline"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_line_variable()]},
        "panels": _panels(),
    }


def _line_variable() -> dict[str, Any]:
    """Return the template variable by which a person selects lines."""
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
    """Return a heading and the panels of each row, from left to right and from top to bottom."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        heading_position = {"x": 0, "y": top, "w": ROW_COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": heading_position})
        top += 1
        for line in _lines_of(row):
            left = 0
            for panel in line:
                panels.append(_panel(panel, {"x": left, "y": top, "w": panel.width, "h": PANEL_HEIGHT}))
                left += panel.width
            top += PANEL_HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _lines_of(row: list[Panel]) -> list[list[Panel]]:
    """Divide the panels of a row into lines that are at most `ROW_COLUMNS` wide."""
    lines: list[list[Panel]] = [[]]
    for panel in row:
        if sum(each.width for each in lines[-1]) + panel.width > ROW_COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _panel(panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_threshold is not None:
        steps.append({"color": "red", "value": panel.red_threshold})
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": position,
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
    sys.stdout.write(json.dumps(make_dashboard(), indent=2) + "\n")
