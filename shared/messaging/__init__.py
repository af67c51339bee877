"""Messages between processes: the port, its adapters, and the loop that keeps the order publish, confirm, ack."""

from __future__ import annotations

from shared.messaging.port import Broker
from shared.settings import ServiceSettings, folder_of

__all__ = ["open_broker"]


def open_broker(settings: ServiceSettings) -> Broker:
    """The broker that the settings name, with its topology there.

    Raises:
        BrokerUnavailable: nothing answers; `shared.service.await_broker` waits for it.
        BrokerRefusedLogin: the user or the password is wrong.
        MessagingError: the broker is there and can't be used; its message says what to do.
    """
    service = str(settings.model_config.get("env_prefix", "")).rstrip("_").lower()
    # An adapter is imported when it is chosen: nobody loads the driver of the other one.
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
