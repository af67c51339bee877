"""Trigger the cameras of a line for a client of OPC UA: each camera takes triggers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
from asyncua import ua
from pydantic import BaseModel
from ulid import ULID

from services.gateway.outputs.opcua.address_space import Values
from services.gateway.outputs.port import read_secret
from services.gateway.outputs.settings import CameraTriggerSettings

TRIGGER: Final = "Trigger"
FIELDS: Final = {"Part": "part", "Batch": "batch", "Order": "order", "Operator": "operator", "Recipe": "recipe"}
"""The inputs of the method that are texts, and the fields of a trigger; an empty text is none."""
ENCODER_COUNT: Final = "EncoderCount"
"""Input; negative: none."""
CHECK: Final = "Check"
INPUTS: Final = {
    **dict.fromkeys(FIELDS, ua.VariantType.String),
    ENCODER_COUNT: ua.VariantType.Int64,
    CHECK: ua.VariantType.Boolean,
}
OUTPUTS: Final = dict.fromkeys(("Outcome", "Cause", "Reason", "FrameIds"), ua.VariantType.String)
MISSED: Final = "missed"
AWAY: Final = "away"
ANSWERED: Final = (200, 409, 422)
"""The statuses with which a camera answers a trigger."""


class Answer(BaseModel):
    """What became of a trigger at one camera, as it answers over HTTP."""

    outcome: str
    cause: str | None = None
    reason: str = ""
    frame_id: str | None = None


class CameraTriggers:
    """The cameras of a line, which are triggered together."""

    def __init__(self, cameras: Mapping[str, CameraTriggerSettings]) -> None:
        self._cameras = {name: (camera, read_secret(camera.token_file)) for name, camera in cameras.items()}

    async def fire(self, given: Values) -> Values:
        """Trigger all cameras, and return what became of it: captured if each camera has captured an image."""
        document: dict[str, Any] = {field: given[name] for name, field in FIELDS.items() if given[name]}
        if given[ENCODER_COUNT] >= 0:
            document["encoder_count"] = given[ENCODER_COUNT]
        document |= {"check": bool(given[CHECK]), "id": str(ULID())}
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = await asyncio.gather(*(self._fire(client, name, document) for name in self._cameras))
        first = next((answer for answer in answers if answer.outcome == MISSED), answers[0])
        return {
            "Outcome": first.outcome,
            "Cause": first.cause or "",
            "Reason": first.reason,
            "FrameIds": " ".join(answer.frame_id for answer in answers if answer.frame_id),
        }

    async def _fire(self, client: httpx.AsyncClient, name: str, document: Mapping[str, Any]) -> Answer:
        camera, token = self._cameras[name]
        headers = {"Authorization": f"Bearer {token.decode()}"} if token else {}
        try:
            async with asyncio.timeout(camera.timeout_seconds):
                response = await client.post(camera.url, json=document, headers=headers, timeout=None)
            if response.status_code not in ANSWERED:
                return _away(f"camera {name} answers {response.status_code}")
            answer = Answer.model_validate_json(response.content)
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            return _away(f"camera {name} does not answer: {type(error).__name__}")
        return answer.model_copy(update={"reason": f"camera {name}: {answer.reason}"}) if answer.reason else answer


def _away(reason: str) -> Answer:
    return Answer(outcome=MISSED, cause=AWAY, reason=reason)
