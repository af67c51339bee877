"""The metrics of RabbitMQ that alert rules and dashboard name."""

from __future__ import annotations

import re

import httpx

from shared.topology import INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.processes import wait_until
from tests.servers import Endpoint
from tests.unit.test_monitoring import RABBITMQ


def test_rabbitmq_has_the_metrics_that_alerts_and_dashboard_name(
    rabbitmq_server: Endpoint, rabbitmq: BrokerAddress
) -> None:
    rabbitmq.open().close()
    vhost = rabbitmq.url.rpartition("/")[2]
    detailed = {"family": "queue_coarse_metrics", "vhost": vhost}
    sample = f'rabbitmq_detailed_queue_messages_ready{{vhost="{vhost}",queue="{INFERENCE_FRAMES.name}"}} 0'
    with httpx.Client(base_url=rabbitmq_server.metrics_url, trust_env=False, timeout=60) as client:
        wait_until(  # a queue has no figures at first
            lambda: sample in client.get("/metrics/detailed", params=detailed).text, 60, "the figures of the queue"
        )
        text = client.get("/metrics").text + client.get("/metrics/detailed", params=detailed).text
    assert set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) >= RABBITMQ
