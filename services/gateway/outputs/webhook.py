"""Send signals to an HTTP receiver, signed and with an idempotency key: one in a request, or those of a batch."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final
from urllib.parse import urlsplit

import httpx

from services.gateway.outputs.port import LineStatus, OutputRefused, OutputUnavailable, Signal, read_secret
from services.gateway.outputs.settings import WebhookSettings

RETRIED: Final = frozenset({401, 403, 404, 408, 409, 423, 425, 429})
"""Client errors after which the same request is sent again, because the receiver may accept it later."""
MOST_OF_A_BATCH: Final = 1_000
"""Most signals of a request."""
ANSWER_LENGTH: Final = 200
"""Most bytes of an answer that are reported."""


class WebhookOutput:
    """Sends signals to an HTTP receiver."""

    longest_pause: Final = 10.0
    seconds_needed: Final = 0.0

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float] = time.time) -> None:
        self.group = 1 if settings.every_seconds is None else MOST_OF_A_BATCH
        self.collect_seconds = settings.every_seconds or 0.0
        self._by_batch = settings.every_seconds is not None
        self._url = settings.url
        parts = urlsplit(settings.url)
        self._address = f"{parts.scheme}://{parts.netloc}"
        """Without the path, which may hold a token."""
        self._secret = read_secret(settings.secret_file)
        self._clock = clock
        self._timeout = settings.timeout_seconds
        tls = ssl.create_default_context(cafile=settings.ca_file)
        self._client = httpx.Client(timeout=settings.timeout_seconds, verify=tls, trust_env=False)

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port. One request is sent: of the first signal, or of those after it that are of the same batch."""
        first = signals[0]
        kind = first.batch, first.test
        together = list(takewhile(lambda signal: (signal.batch, signal.test) == kind, signals))
        if self._by_batch:
            body = b"[" + b",".join(signal.encode() for signal in together) + b"]"
            key = hashlib.sha256("\n".join(signal.id for signal in together).encode()).hexdigest()
        else:
            together, body, key = [first], first.encode(), first.id
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._secret is not None:
            headers["X-Seamline-Signature"] = signature(self._secret, int(self._clock()), body)
        if first.test:
            headers["X-Seamline-Test"] = "true"
        status, text = self._request("POST", content=body, headers=headers)
        if httpx.codes.is_success(status):
            return len(together)
        reason = f"the receiver answered {status}: {' '.join(text.split())}"
        if httpx.codes.is_server_error(status) or status in RETRIED:
            raise OutputUnavailable(reason)
        raise OutputRefused(reason, len(together))

    def show(self, status: LineStatus) -> None:
        """See the port."""

    def check(self) -> None:
        """See the port. Any answer, also an error, shows that the receiver can be reached."""
        self._request("OPTIONS")

    def close(self) -> None:
        """See the port."""
        self._client.close()

    def _request(
        self, method: str, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Return the status and the beginning of the answer's text; reading the answer ends after the timeout."""
        until, text = time.monotonic() + self._timeout, b""
        try:
            with self._client.stream(method, self._url, content=content, headers=headers) as answer:
                for piece in answer.iter_bytes():
                    text = (text + piece)[:ANSWER_LENGTH]
                    if time.monotonic() > until:
                        break
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise OutputUnavailable(f"{self._address}: {type(error).__name__}: {error}") from error
        return answer.status_code, text.decode(errors="replace")


def signature(secret: bytes, moment: int, body: bytes) -> str:
    """Return the signature of a request: the Unix time, and the HMAC-SHA256 of ``<time>.<body>`` in hexadecimal."""
    return f"t={moment},v1={hmac.new(secret, b'%d.%s' % (moment, body), hashlib.sha256).hexdigest()}"
