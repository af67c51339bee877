"""The registry of the application's services, and the dependency by which endpoints get them."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from fastapi import Depends, Request

Service = TypeVar("Service")


class Services:
    """One service of each class."""

    def __init__(self, *services: object) -> None:
        self._by_class = {type(service): service for service in services}

    def get(self, kind: type[Service]) -> Service:
        """Return the service of the class `kind`.

        Raises:
            KeyError: the application has no such service.
        """
        return cast("Service", self._by_class[kind])


def service_of(request: Request, kind: type[Service]) -> Service:
    """Return the service of the class `kind`, from the application that received the request."""
    services: Services = request.app.state.services
    return services.get(kind)


def provided(kind: type[Service]) -> Any:
    """Return a dependency by which an endpoint gets the service of the class `kind`.

    Use it as `Lines = Annotated[LinesService, provided(LinesService)]`.
    """

    def find(request: Request) -> Service:
        return service_of(request, kind)

    return Depends(find)
