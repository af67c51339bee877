"""Verdicts of a line that makes parts, and the plans by which they are decided."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.gateway.part_assembly import Now
from services.gateway.rule import Plan
from shared.messages import Finding, FrameInspected, Verdict
from shared.recipe import Parts, parse_recipe
from tests.messages import MOMENT, identity

RECIPE = """
name: seam
task: multi-label
labels:
  good:   {key: g, colour: white, role: quality}
  break:  {key: b, colour: green, role: defect}
"""


def plan(recipe: str = "seam", **parts: Any) -> Plan:
    text = RECIPE.replace("name: seam", f"name: {recipe}")
    return Plan(Parts.model_validate(parts), parse_recipe(text), "v1")


def verdict(sequence: int = 0, said: str = "ok", *, defect: float | None = None, **frame: Any) -> FrameInspected:
    """A verdict ``ok``, ``ng`` or ``error``; ``defect`` is the score of the label break."""
    score = (0.9 if said == "ng" else 0.1) if defect is None else defect
    findings = {
        "good": Finding(score=1 - score, threshold=0.5, present=score <= 0.5, fault=score > 0.5),
        "break": Finding(score=score, threshold=0.5, present=score >= 0.5, fault=score >= 0.5),
    }
    return FrameInspected(
        frame=identity(sequence, **frame),
        verdict=Verdict(said),
        reason=said,
        findings={} if said == "error" else findings,
        flagged=said == "ng",
        recipe="seam",
        model_version="v1",
        at=MOMENT,
        latency_ms=12.5,
    )


def at(seconds: float, wall: datetime | None = None) -> Now:
    """Return the moment this number of seconds after the capture, by both clocks unless the wall clock differs."""
    return Now(1_000 + seconds, wall or MOMENT + timedelta(seconds=seconds))
