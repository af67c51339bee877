"""Exchanges, queues, bindings and limits, as data. Both messaging adapters build exactly this.

Every queue ``q`` has two more queues. ``q.suspects`` gets the messages that were redelivered `DELIVERY_LIMIT` times;
they are read one at a time, so that a message that kills its reader affects no other message. ``q.parked`` gets the
messages that were rejected, or whose readers died again; they stay there until a person replays or discards them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from shared import messages

DELIVERY_LIMIT: Final = 2
"""Redeliveries of a message before it becomes a suspect."""

SUSPECT_DELIVERY_LIMIT: Final = 1
"""Redeliveries of a suspect before it is parked, because one death of a reader may be a coincidence."""

DIED: Final = "its reader died each time it was read, the last times alone"
"""The reason of messages that are parked because of `SUSPECT_DELIVERY_LIMIT`."""

BROADCAST_LIMIT: Final = 1_000
"""Most messages that wait for one reader of a broadcast; beyond this, the oldest message is dropped."""


SUSPECTS: Final = ".suspects"
"""End of the name of each queue of suspects."""


class WhenFull(StrEnum):
    """The behaviour of a queue at its limit."""

    REFUSE = "reject-publish"
    """The publish fails, and the publisher still has the message."""
    SHED = "drop-head"
    """The oldest message is dropped: for messages whose results can be computed again on request."""


@dataclass(frozen=True)
class Queue:
    """A durable queue, named ``<service>.<content>``."""

    name: str
    exchange: str
    binding: str
    limit: int = 100_000
    """Messages."""
    limit_bytes: int = 2 * 1024**3
    when_full: WhenFull = WhenFull.REFUSE
    one_reader: bool = False
    """Only one consumer at a time gets messages; the next one takes over when it disconnects."""

    @property
    def suspects(self) -> str:
        """Return the name of the queue for messages whose readers died."""
        return f"{self.name}{SUSPECTS}"

    @property
    def parked(self) -> str:
        """Return the name of the queue for messages that can't be handled."""
        return f"{self.name}.parked"

    @property
    def dead_letters(self) -> str:
        """Return the exchange that leads only to the suspects and parked queues of the service."""
        return f"{DEAD}.{self.name.partition('.')[0]}"


@dataclass(frozen=True)
class Broadcast:
    """Messages that every running worker receives, each through its own queue, which ends with the worker."""

    name: str
    exchange: str
    binding: str
    """Of a broadcast about lines, ``{line}`` stands for the line."""

    def about(self, line: str) -> Broadcast:
        """Return the broadcast about one line."""
        return replace(self, binding=self.binding.format(line=line))


FRAMES: Final = "seamline.frames"
VERDICTS: Final = "seamline.verdicts"
MODELS: Final = "seamline.models"
REPORTS: Final = "seamline.reports"
DEAD: Final = "seamline.dead"
"""Prefix of the dead-letter exchanges, one for each service."""
REPLAYS: Final = "seamline.replays"
"""The exchange through which parked messages are replayed into their queues."""
EXCHANGES: Final = (FRAMES, VERDICTS, MODELS, REPORTS)
"""All of type topic and durable. Dead letters and replays have direct exchanges, whose routing keys are queues."""

INFERENCE_FRAMES: Final = Queue("inference.frames", FRAMES, "captured.#", limit=20_000)
INFERENCE_IMAGES: Final = Queue("inference.images", FRAMES, "deferred.#", limit=20_000)
"""Messages that wait for object storage: images to store, and frames whose images are stored there."""
EXPLAINER_FLAGGED: Final = Queue(
    "explainer.flagged", VERDICTS, "inspected.flagged.#", limit=10_000, when_full=WhenFull.SHED
)
EXPLAINER_REQUESTS: Final = Queue("explainer.requests", VERDICTS, "requested.explanation.#", limit=1_000)
"""Requests of people, in their own queue, so that they do not wait behind the flagged frames."""
TRAINER_COMMANDS: Final = Queue("trainer.commands", MODELS, "requested.#", one_reader=True)
DASHBOARD_VERDICTS: Final = Queue("dashboard.verdicts", VERDICTS, "inspected.#", limit=1_000_000)
GATEWAY_VERDICTS: Final = Queue(
    "gateway.verdicts", VERDICTS, "inspected.#", limit=10_000, when_full=WhenFull.SHED, one_reader=True
)
"""Verdicts for decisions about parts. A full queue drops its oldest messages, because old verdicts decide nothing."""
GATEWAY_REPORTS: Final = Queue("gateway.reports", REPORTS, "#", limit=1_000, when_full=WhenFull.SHED, one_reader=True)
GATEWAY_COMMANDS: Final = Queue("gateway.commands", VERDICTS, "requested.line.#", limit=1_000, one_reader=True)
GATEWAY_CHECKS: Final = Queue("gateway.checks", VERDICTS, "checked.frame.#", limit=10_000, one_reader=True)
"""Verdicts on frames of checks: no other queue gets them, so that nothing counts them."""
DASHBOARD_PARTS: Final = Queue("dashboard.parts", VERDICTS, "decided.#", limit=1_000_000)
DASHBOARD_CHECKS: Final = Queue("dashboard.checks", VERDICTS, "checked.line.#")
DASHBOARD_EXPLANATIONS: Final = Queue("dashboard.explanations", VERDICTS, "explained.#")
DASHBOARD_MODELS: Final = Queue("dashboard.models", MODELS, "happened.#")
DASHBOARD_REPORTS: Final = Queue("dashboard.reports", REPORTS, "#", limit=10_000, when_full=WhenFull.SHED)

QUEUES: Final = (
    INFERENCE_FRAMES,
    INFERENCE_IMAGES,
    EXPLAINER_FLAGGED,
    EXPLAINER_REQUESTS,
    TRAINER_COMMANDS,
    GATEWAY_VERDICTS,
    GATEWAY_REPORTS,
    GATEWAY_COMMANDS,
    GATEWAY_CHECKS,
    DASHBOARD_VERDICTS,
    DASHBOARD_PARTS,
    DASHBOARD_CHECKS,
    DASHBOARD_EXPLANATIONS,
    DASHBOARD_MODELS,
    DASHBOARD_REPORTS,
)

PROMOTIONS: Final = Broadcast("promotions", MODELS, "happened.promoted.#")
DECISIONS: Final = Broadcast("decisions", VERDICTS, "decided.#")
"""Decisions about parts, for the gateways that stand by: none of them decides about the part again."""
LINE_RECIPES: Final = Broadcast("recipes", REPORTS, "recipe.{line}")
"""The recipe of a line, for its cameras."""

EXCHANGE_OF: Final[dict[type[messages.Message], str]] = {
    messages.FrameCaptured: FRAMES,
    messages.CheckFrame: FRAMES,
    messages.FrameDeferred: FRAMES,
    messages.FrameReturned: FRAMES,
    messages.ImageDeferred: FRAMES,
    messages.FrameInspected: VERDICTS,
    messages.CheckFrameInspected: VERDICTS,
    messages.ExplanationRequested: VERDICTS,
    messages.FrameExplained: VERDICTS,
    messages.PartDecided: VERDICTS,
    messages.OutputTestRequested: VERDICTS,
    messages.CheckRequested: VERDICTS,
    messages.RecipeChangeRequested: VERDICTS,
    messages.LineChecked: VERDICTS,
    messages.TrainingRequested: MODELS,
    messages.TrainingCancelled: MODELS,
    messages.ComparisonRequested: MODELS,
    messages.ThresholdsRequested: MODELS,
    messages.PromotionRequested: MODELS,
    messages.TrainingProgressed: MODELS,
    messages.ModelTrained: MODELS,
    messages.ThresholdsStored: MODELS,
    messages.ThresholdsRefused: MODELS,
    messages.ModelPromoted: MODELS,
    messages.PromotionRefused: MODELS,
    messages.CameraReported: REPORTS,
    messages.WorkerReported: REPORTS,
    messages.GatewayReported: REPORTS,
    messages.RecipeAnnounced: REPORTS,
}
"""The exchange of each message; its routing key is ``routing_key``."""

TAKES: Final[dict[str, frozenset[type[messages.Message]]]] = {
    INFERENCE_FRAMES.name: frozenset({messages.FrameCaptured, messages.FrameReturned, messages.CheckFrame}),
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
    GATEWAY_VERDICTS.name: frozenset({messages.FrameInspected}),
    GATEWAY_COMMANDS.name: frozenset(
        {messages.OutputTestRequested, messages.CheckRequested, messages.RecipeChangeRequested}
    ),
    GATEWAY_CHECKS.name: frozenset({messages.CheckFrameInspected}),
    DASHBOARD_VERDICTS.name: frozenset({messages.FrameInspected}),
    DASHBOARD_PARTS.name: frozenset({messages.PartDecided}),
    DASHBOARD_CHECKS.name: frozenset({messages.LineChecked}),
    DASHBOARD_EXPLANATIONS.name: frozenset({messages.FrameExplained}),
    DASHBOARD_MODELS.name: frozenset(
        {
            messages.TrainingProgressed,
            messages.ModelTrained,
            messages.ThresholdsStored,
            messages.ThresholdsRefused,
            messages.ModelPromoted,
            messages.PromotionRefused,
        }
    ),
    **dict.fromkeys(
        (GATEWAY_REPORTS.name, DASHBOARD_REPORTS.name),
        frozenset(
            {
                messages.CameraReported,
                messages.WorkerReported,
                messages.GatewayReported,
                messages.RecipeAnnounced,
            }
        ),
    ),
}
"""The messages that the readers of each queue accept. Other queues are not restricted."""


def takes(queue: str, message: messages.Message) -> bool:
    """Return whether the readers of a queue, or of its suspects queue, accept a message."""
    wanted = TAKES.get(queue.removesuffix(SUSPECTS))
    return wanted is None or type(message) in wanted
