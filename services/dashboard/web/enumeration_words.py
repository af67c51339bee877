"""The values of enumerations that pages show, marked for translation."""

from __future__ import annotations

from typing import Final

from shared.validation import marked

WORDS: Final = (
    *(marked("ok"), marked("ng"), marked("error"), marked("not inspected")),
    *(marked("minute"), marked("hour"), marked("shift"), marked("day"), marked("week")),
    *(marked("model"), marked("batch"), marked("camera")),
    *(marked("viewer"), marked("operator"), marked("engineer"), marked("admin")),
    *(marked("quality"), marked("defect"), marked("attribute"), marked("anomaly")),
    *(marked("first"), marked("second"), marked("adjudication")),
    *(marked("few escapes"), marked("balanced"), marked("few false rejects"), marked("least cost")),
    marked("allowed overkill"),
)
"""The marked values."""
