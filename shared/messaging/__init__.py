"""Messages between processes: the port, its adapters, and the loop that handles messages."""

from __future__ import annotations

from shared.messaging.port import Broker
from shared.settings import ServiceSettings, folder_of

__all__ = ["open_broker"]


def open_broker(settings: ServiceSettings) -> Broker:
    """Connect to the broker of the settings, and create its topology if necessary.

    Raises:
        BrokerUnavailable: the broker does not answer; `shared.service.await_broker` waits for it.
        BrokerRefusedLogin: the user or the password is wrong.
        MessagingError: the broker can't be used; the message says what to do.
    """
    service = str(settings.model_config.get("env_prefix", "")).rstrip("_").lower()
    # only the chosen adapter is imported, with its driver
    if settings.broker_url.startswith("sqlite:"):
        from shared.messaging.sqlite import SqliteBroker  # noqa: PLC0415

        return SqliteBroker(folder_of(settings.broker_url), service=service)
    from shared.messaging.rabbitmq import RabbitBroker  # noqa: PLC0415

    return RabbitBroker(
        settings.broker_url,
        user=settings.broker_user,
        password=settings.broker_password.get_secret_value(),
        service=service,
        tls=settings.client_tls() if settings.broker_url.startswith("amqps:") else None,
    )
