"""Exchanges, queues, bindings and limits, as data. Both messaging adapters build exactly this.

Every queue ``q`` brings two more: ``q.suspects``, where a message goes that was redelivered `DELIVERY_LIMIT` times
without an answer, to be read one at a time so that a poison message takes no innocent neighbour with it; and
``q.parked``, where a message rests that was rejected, or that failed alone as well, until a person replays or
discards it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared import messages

DELIVERY_LIMIT: Final = 2
"""How many redeliveries a queue allows before a message becomes a suspect."""

SUSPECT_DELIVERY_LIMIT: Final = 1
"""How many redeliveries a suspect, read alone, is allowed before it is parked: one death may be a coincidence."""

DIED: Final = "its reader died each time it was read, the last times alone"
"""The reason of what was parked because of `SUSPECT_DELIVERY_LIMIT`."""

BROADCAST_LIMIT: Final = 1_000
"""How many messages wait for one hearer of a broadcast; beyond it the oldest goes."""


class WhenFull(StrEnum):
    """What a queue at its limit does."""

    REFUSE = "reject-publish"
    """The publisher is told, and keeps the message."""
    SHED = "drop-head"
    """The oldest message goes: for what can be made again on demand."""


@dataclass(frozen=True)
class Queue:
    """A durable queue, named ``<service>.<what it holds>``."""

    name: str
    exchange: str
    binding: str
    limit: int = 100_000
    """messages"""
    limit_bytes: int = 2 * 1024**3
    when_full: WhenFull = WhenFull.REFUSE
    one_reader: bool = False
    """Only one consumer at a time is served; another takes over when it goes."""

    @property
    def suspects(self) -> str:
        """Where messages go whose readers died."""
        return f"{self.name}.suspects"

    @property
    def parked(self) -> str:
        """Where messages rest that will never succeed."""
        return f"{self.name}.parked"

    @property
    def dead_letters(self) -> str:
        """The exchange of the queue's service that leads to its suspects and parked, and nowhere else."""
        return f"{DEAD}.{self.name.partition('.')[0]}"


@dataclass(frozen=True)
class Broadcast:
    """An exchange on which every running worker hears every message, through a queue of its own that ends with it."""

    name: str
    exchange: str
    binding: str


FRAMES: Final = "seamline.frames"
VERDICTS: Final = "seamline.verdicts"
MODELS: Final = "seamline.models"
REPORTS: Final = "seamline.reports"
DEAD: Final = "seamline.dead"
"""Begins the name of each service's exchange of dead letters."""
REPLAYS: Final = "seamline.replays"
"""Leads back into the queues: where a person replays what was parked."""
EXCHANGES: Final = (FRAMES, VERDICTS, MODELS, REPORTS)
"""All of type topic and durable. Dead letters and replays have direct exchanges, whose routing keys are queues."""

INFERENCE_FRAMES: Final = Queue("inference.frames", FRAMES, "captured.#", limit=20_000)
INFERENCE_IMAGES: Final = Queue("inference.images", FRAMES, "deferred.#", limit=20_000)
"""What waits for object storage: images to keep, and frames whose images are there."""
EXPLAINER_FLAGGED: Final = Queue(
    "explainer.flagged", VERDICTS, "inspected.flagged.#", limit=10_000, when_full=WhenFull.SHED
)
EXPLAINER_REQUESTS: Final = Queue("explainer.requests", VERDICTS, "requested.explanation.#", limit=1_000)
"""People wait for these: they do not stand in line behind the flagged frames."""
TRAINER_COMMANDS: Final = Queue("trainer.commands", MODELS, "requested.#", one_reader=True)
DASHBOARD_VERDICTS: Final = Queue("dashboard.verdicts", VERDICTS, "inspected.#", limit=1_000_000)
DASHBOARD_EXPLANATIONS: Final = Queue("dashboard.explanations", VERDICTS, "explained.#")
DASHBOARD_MODELS: Final = Queue("dashboard.models", MODELS, "happened.#")
DASHBOARD_REPORTS: Final = Queue("dashboard.reports", REPORTS, "#", limit=10_000, when_full=WhenFull.SHED)

QUEUES: Final = (
    INFERENCE_FRAMES,
    INFERENCE_IMAGES,
    EXPLAINER_FLAGGED,
    EXPLAINER_REQUESTS,
    TRAINER_COMMANDS,
    DASHBOARD_VERDICTS,
    DASHBOARD_EXPLANATIONS,
    DASHBOARD_MODELS,
    DASHBOARD_REPORTS,
)

PROMOTIONS: Final = Broadcast("promotions", MODELS, "happened.promoted.#")

EXCHANGE_OF: Final[dict[type[messages.Message], str]] = {
    messages.FrameCaptured: FRAMES,
    messages.FrameDeferred: FRAMES,
    messages.ImageDeferred: FRAMES,
    messages.FrameInspected: VERDICTS,
    messages.ExplanationRequested: VERDICTS,
    messages.FrameExplained: VERDICTS,
    messages.TrainingRequested: MODELS,
    messages.TrainingCancelled: MODELS,
    messages.ComparisonRequested: MODELS,
    messages.ThresholdsRequested: MODELS,
    messages.PromotionRequested: MODELS,
    messages.TrainingProgressed: MODELS,
    messages.ModelTrained: MODELS,
    messages.ThresholdsKept: MODELS,
    messages.ThresholdsRefused: MODELS,
    messages.ModelPromoted: MODELS,
    messages.PromotionRefused: MODELS,
    messages.CameraReported: REPORTS,
    messages.WorkerReported: REPORTS,
}
"""Where each message is published, under its own ``routing_key``."""

TAKES: Final[dict[str, frozenset[type[messages.Message]]]] = {
    INFERENCE_FRAMES.name: frozenset({messages.FrameCaptured}),
    INFERENCE_IMAGES.name: frozenset({messages.FrameDeferred, messages.ImageDeferred}),
    EXPLAINER_FLAGGED.name: frozenset({messages.FrameInspected}),
    EXPLAINER_REQUESTS.name: frozenset({messages.ExplanationRequested}),
    TRAINER_COMMANDS.name: frozenset(
        {
            messages.TrainingRequested,
            messages.TrainingCancelled,
            messages.ComparisonRequested,
            messages.ThresholdsRequested,
            messages.PromotionRequested,
        }
    ),
    DASHBOARD_VERDICTS.name: frozenset({messages.FrameInspected}),
    DASHBOARD_EXPLANATIONS.name: frozenset({messages.FrameExplained}),
    DASHBOARD_MODELS.name: frozenset(
        {
            messages.TrainingProgressed,
            messages.ModelTrained,
            messages.ThresholdsKept,
            messages.ThresholdsRefused,
            messages.ModelPromoted,
            messages.PromotionRefused,
        }
    ),
    DASHBOARD_REPORTS.name: frozenset({messages.CameraReported, messages.WorkerReported}),
}
"""By queue: the messages that its readers take. What a queue of another name holds is not restricted."""


def takes(queue: str, message: messages.Message) -> bool:
    """Whether the readers of a queue, or of its suspects, take such a message."""
    wanted = TAKES.get(queue.removesuffix(".suspects"))
    return wanted is None or type(message) in wanted
