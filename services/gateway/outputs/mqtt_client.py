"""Make the client of an MQTT broker from settings."""

from __future__ import annotations

import ssl

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from services.gateway.outputs.port import read_secret
from services.gateway.outputs.settings import BrokerSettings


def mqtt_client(settings: BrokerSettings) -> paho.Client:
    """Return a client with the login and the encryption of the settings, which is not connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if settings.user:
        password = read_secret(settings.password_file)
        client.username_pw_set(settings.user, password.decode() if password else None)
    if settings.tls:
        client.tls_set_context(ssl.create_default_context(cafile=settings.ca_file))
    client.connect_timeout = settings.timeout_seconds
    return client
