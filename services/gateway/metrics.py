"""Prometheus metrics of a gateway."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info

PARTS: Final = Counter("seamline_gateway_parts", "Parts decided", ["line", "verdict"])
PENDING: Final = Gauge("seamline_gateway_pending_parts", "Parts that are not decided yet")
LATE: Final = Counter("seamline_gateway_late_frames", "Frames inspected after their part was decided", ["line"])
REPEATED: Final = Counter("seamline_gateway_repeated_verdicts", "Verdicts that came again and changed nothing")
DECISION_SECONDS: Final = Histogram(
    "seamline_gateway_decision_seconds",
    "From the capture of a part's first frame to the decision",
    ["line"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
CHECK_DUE: Final = Gauge(
    "seamline_gateway_check_due", "Whether a check of a line is due: the line is not ready", ["line"]
)
UNCHECKED: Final = Counter(
    "seamline_gateway_unchecked_parts", "Parts decided while a check of their line was due", ["line"]
)
SIGNALS: Final = Counter(
    "seamline_gateway_signals", "Signals by what became of them: sent, missed, filtered", ["line", "output", "outcome"]
)
WAITING: Final = Gauge("seamline_gateway_waiting_signals", "Signals that are not sent yet", ["line", "output"])
OUTPUT_UP: Final = Gauge(
    "seamline_gateway_output_up", "Whether the last try to reach an output succeeded", ["line", "output"]
)
OUTPUT: Final = Info("seamline_gateway_output", "The last error of an output", ["line", "output"])
