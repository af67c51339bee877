"""The keys of the projection in Redis, which can be built again from the archive.

Every key is named here; README.md lists them as a table. Redis Cluster is not supported: one script touches the keys of
several frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LAYOUT: Final = "4"
"""Version of the keys below. A projection of another layout is built again from the archive."""


@dataclass(frozen=True)
class Keys:
    """The names of the keys in Redis."""

    prefix: str

    @property
    def built(self) -> str:
        """String: `LAYOUT`, once the projection was built from the archive."""
        return f"{self.prefix}:built"

    @property
    def building(self) -> str:
        """String: lock of the process that builds the projection from the archive; it expires if that process dies."""
        return f"{self.prefix}:building"

    @property
    def generation(self) -> str:
        """String: an id that changes whenever the projection is deleted."""
        return f"{self.prefix}:generation"

    @property
    def segments(self) -> str:
        """Set: the segments of the archive that the projection holds."""
        return f"{self.prefix}:segments"

    def applied(self, batch: str) -> str:
        """String: that a batch of messages was applied; until its segment is in the archive, a day at most."""
        return f"{self.prefix}:applied:{batch}"

    @property
    def restored(self) -> str:
        """String: when frames were last missing and counted again from the archive, and how many."""
        return f"{self.prefix}:restored"

    @property
    def storage(self) -> str:
        """String: what is stored by kind, from the last inventory."""
        return f"{self.prefix}:storage"

    @property
    def retention(self) -> str:
        """String: lock of the dashboard that enforces the retention rules."""
        return f"{self.prefix}:retention"

    @property
    def events(self) -> str:
        """Channel: notes for the live pages."""
        return f"{self.prefix}:events"

    @property
    def lines(self) -> str:
        """Set: the names of the lines."""
        return f"{self.prefix}:lines"

    @property
    def workers(self) -> str:
        """Hash ``<service>/<worker>`` → last `WorkerReported`."""
        return f"{self.prefix}:workers"

    @property
    def gateways(self) -> str:
        """Hash line → last `GatewayReported`, after its arrival."""
        return f"{self.prefix}:gateways"

    @property
    def line_recipes(self) -> str:
        """Hash line → last `RecipeAnnounced`, after its arrival."""
        return f"{self.prefix}:recipes"

    def audited_recipe(self, line: str) -> str:
        """String: the id of the last change of a line's recipe that is in the audit log."""
        return f"{self.prefix}:audited:{line}"

    @property
    def trainings(self) -> str:
        """Sorted set of training ids by the time of their request."""
        return f"{self.prefix}:trainings"

    def requested_check(self, line: str) -> str:
        """String: the id of the last check that was requested for a line; a short time, or until its record came."""
        return f"{self.prefix}:checking:{line}"

    @property
    def access(self) -> str:
        """Prefix of the keys that are not part of the projection: a rebuild leaves them."""
        return f"{self.prefix}:access:"

    def login(self, digest: str) -> str:
        """String: a session of a person, by the digest of its id; for as long as it may be idle."""
        return f"{self.access}login:{digest}"

    def logins(self, person: str) -> str:
        """Set: the digests of a person's sessions; for as long as a session may last."""
        return f"{self.access}logins:{person}"

    @property
    def used(self) -> str:
        """Hash token id → when it was used last."""
        return f"{self.access}used"

    def failures(self, who: str) -> str:
        """String: failed logins of one name from one address, of one address, or of one browser; an hour."""
        return f"{self.access}failures:{who}"

    def waiting(self, who: str) -> str:
        """String: the next login has to wait; it expires when the wait is over."""
        return f"{self.access}waiting:{who}"

    def device(self, digest: str) -> str:
        """String: the person who has logged in with a browser, by the digest of its device cookie; 180 days."""
        return f"{self.access}device:{digest}"

    def seen(self, kind: str, session: str, chunk: int) -> str:
        """Bitmap: which frames (sequence modulo 65,536) of a session were counted, as the kind says.

        Kinds are ``inspected``, ``explained`` and, for the first frame of a part, ``decided``.
        """
        return f"{self.prefix}:seen:{kind}:{session}:{chunk}"

    def total(self, line: str) -> str:
        """Hash of counts: all frames of the line."""
        return f"{self.prefix}:counts:{line}:total"

    def bucket(self, line: str, step: str, start: str) -> str:
        """Hash of counts: the frames captured in one minute, hour, shift or day (UTC)."""
        return f"{self.prefix}:counts:{line}:{step}:{start}"

    def slices(self, line: str) -> str:
        """Sorted set: the cameras, batches and models of a line that are counted, by the capture of their last frame.

        A slice is ``camera=<name>``, ``batch=<name>`` or ``model=<version>``. Its counts have the line's keys, with
        ``<line>/<slice>`` for the line.
        """
        return f"{self.prefix}:slices:{line}"

    def began(self, line: str) -> str:
        """Sorted set: the same slices by the capture of their first frame."""
        return f"{self.prefix}:began:{line}"

    def frames(self, line: str, kind: str) -> str:
        """Sorted set of frame ids by capture time (ms), for each of ``flagged``, ``passed`` and ``error``."""
        return f"{self.prefix}:frames:{line}:{kind}"

    def verdict(self, frame_id: str) -> str:
        """String: the `FrameInspected` of a frame, as it came."""
        return f"{self.prefix}:verdict:{frame_id}"

    def explanation(self, frame_id: str) -> str:
        """String: the `FrameExplained` of a frame, as it came."""
        return f"{self.prefix}:explanation:{frame_id}"

    def requested(self, frame_id: str) -> str:
        """String: that a person requested heatmaps of a frame, with the labels and the last explanation; a minute."""
        return f"{self.prefix}:requested:{frame_id}"

    def session(self, session: str) -> str:
        """Hash: ``captured`` and ``refused`` of one run of a camera, and how far they were in each hour."""
        return f"{self.prefix}:session:{session}"

    def sessions(self, line: str, camera: str) -> str:
        """Sorted set: the sessions of a camera by the arrival of the last message of each."""
        return f"{self.prefix}:sessions:{line}:{camera}"

    def cameras(self, line: str) -> str:
        """Hash camera → last `CameraReported`, with the times that show which report is newer."""
        return f"{self.prefix}:cameras:{line}"

    def throughput(self, line: str, second: int) -> str:
        """String: verdicts that arrived in one second."""
        return f"{self.prefix}:throughput:{line}:{second}"

    def last(self, line: str) -> str:
        """Hash: the last verdict (``any``) and the last NG one (``ng``), each after its arrival; the last decision."""
        return f"{self.prefix}:last:{line}"

    def latencies(self, line: str) -> str:
        """List: milliseconds from capture to verdict of the last frames."""
        return f"{self.prefix}:latencies:{line}"

    def training(self, training_id: str) -> str:
        """Hash message type → the last message of that type about a training."""
        return f"{self.prefix}:training:{training_id}"

    def epochs(self, training_id: str) -> str:
        """Hash epoch (four digits) → the last message about it: the curves of a training."""
        return f"{self.prefix}:epochs:{training_id}"

    def thresholds(self, recipe: str) -> str:
        """Hash request and message type → the last message of that type about it."""
        return f"{self.prefix}:thresholds:{recipe}"

    def promotions(self, recipe: str) -> str:
        """Hash promotion id → the last message about it."""
        return f"{self.prefix}:promotions:{recipe}"
