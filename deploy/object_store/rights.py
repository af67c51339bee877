"""The keys that each service may read, write and delete, and the S3 policies that enforce this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

AUDIT: Final = "audit"
"""Folder of the audit log, in its own bucket, whose objects are locked."""


@dataclass(frozen=True)
class Rights:
    """Patterns of keys; ``*`` is any text, also with slashes. A service that may read any key may list all keys."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    audits: bool = False
    """Whether the service reads and writes the audit log."""


VERSIONED: Final = ("datasets/*/versions/*", "datasets/images/*")
"""Dataset versions and their images."""

RIGHTS: Final = {
    "camera": Rights(writes=("frames/{line}/*/captured.*", "challenges/{line}/captured.*")),
    "inference": Rights(
        reads=("frames/*", "challenges/*", "models/*", "removals/inference/*"),
        writes=("frames/*/image.*", "live/*"),
        deletes=("frames/*/image.*", "frames/*/captured.*", "removals/inference/*"),
    ),
    "explainer": Rights(
        reads=("frames/*", "models/*", "removals/explainer/*"),
        writes=("frames/*/heatmap.*", "frames/*/overlay.*"),
        deletes=("frames/*/heatmap.*", "frames/*/overlay.*", "removals/explainer/*"),
    ),
    "trainer": Rights(
        reads=("models/*", "datasets/*", "trainings/*", "measurements/*", "thresholds/*", "promotions/*"),
        writes=("models/*", "datasets/*", "trainings/*", "measurements/*", "thresholds/*", "promotions/*"),
        deletes=("trainings/*", "measurements/*"),
    ),
    "gateway": Rights(reads=("models/*", "gateways/*"), writes=("gateways/*",), deletes=("gateways/*",)),
    "dashboard": Rights(
        reads=(
            "frames/*",
            "live/*",
            "models/*",
            "datasets/*",
            "promotions/*",
            "verdicts/*",
            "parked/*",
            "marks/*",
            "people/*",
            "model-names/*",
            "labelling/*",
            "recipes/*",
            "challenges/*",
            "checks/*",
            "counts/*",
            "removals/*",
        ),
        writes=(
            *VERSIONED,
            "verdicts/*",
            "parked/*",
            "marks/*",
            "people/*",
            "model-names/*",
            "labelling/*",
            "recipes/*",
            "challenges/*",
            "checks/*",
            "counts/*",
            "removals/*",
        ),
        deletes=(
            "verdicts/*",
            "parked/*",
            "marks/*",
            "labelling/videos/*",
            "challenges/*/parts/*",
            "removals/announced/*",
            f"{AUDIT}/*",
        ),
        audits=True,
    ),
}
"""The rights of each service.

No service may delete people, labels, recipes, models and their names, dataset versions and their images, counts of
condensed days, and an audit log in its own bucket. In the common bucket, the dashboard removes old entries of the audit
log by its retention rule.
"""


def policy(service: str, bucket: str, audit_bucket: str, line: str = "*") -> dict[str, Any]:
    """Return the policy of a service; the policy of a camera is for its line."""
    rights = RIGHTS[service]
    everything = [_keys(audit_bucket, (f"{AUDIT}/*",))] if rights.audits else []
    buckets = [bucket, audit_bucket] if rights.audits else [bucket]
    reads, writes, deletes = (
        _keys(bucket, tuple(pattern.format(line=line) for pattern in patterns))
        for patterns in (rights.reads, rights.writes, rights.deletes)
    )
    statements = [
        _allow(["s3:GetBucketLocation", *(["s3:ListBucket"] if rights.reads else [])], [_arn(one) for one in buckets]),
        _allow(["s3:GetObject"], sum(everything, reads)),
        _allow(["s3:PutObject"], sum(everything, writes)),
        _allow(["s3:DeleteObject"], deletes),
    ]
    return {"Version": "2012-10-17", "Statement": [statement for statement in statements if statement["Resource"]]}


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _keys(bucket: str, patterns: tuple[str, ...]) -> list[str]:
    return [f"{_arn(bucket)}/{pattern}" for pattern in patterns]


def _arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"
