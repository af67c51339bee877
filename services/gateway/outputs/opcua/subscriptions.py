"""Which clients get an event, by their subscriptions. asyncua has no public names for what is read here."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua
from asyncua.server.internal_subscription import InternalSubscription

UNANSWERED: Final = 3
"""Publications in a row without a request of the client, from which the client counts as disconnected."""
QUIET_MILLISECONDS: Final = 1_000
"""Shortest time of these publications: a client with a short publishing interval gets this time to answer."""


def monitors(subscription: InternalSubscription, node: ua.NodeId) -> bool:
    """Return whether a subscription has the events of a node."""
    return node in subscription.monitored_item_srv._monitored_events


def gets(subscription: InternalSubscription, event: Any, field: str) -> bool:
    """Return whether a client gets a field of an event that is queued: it selects the field, and is connected."""
    service = subscription.monitored_item_srv
    numbers = service._monitored_events.get(event.emitting_node, ())
    return is_connected(subscription) and any(
        item.where_clause_evaluator.eval(event)
        and any(clause.BrowsePath and clause.BrowsePath[-1].Name == field for clause in item.filter.SelectClauses)
        for item in map(service._monitored_items.__getitem__, numbers)
    )


def is_connected(subscription: InternalSubscription) -> bool:
    """Return whether the client of a subscription is connected and asks for what is published.

    A connection that is cut, and not closed, is noticed after the publications that the client has asked for already.
    """
    publications, milliseconds = subscription._publish_cycles_count, subscription.data.RevisedPublishingInterval
    is_quiet = publications >= UNANSWERED and not 0 < publications * milliseconds < QUIET_MILLISECONDS
    has_failed = subscription._task is not None and subscription._task.done()
    connection = subscription.pub_request_callback.__self__._transport
    return subscription._publishing_enabled and not (is_quiet or has_failed or connection.is_closing())
