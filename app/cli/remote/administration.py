"""What commands ask for, asked of a gateway elsewhere."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from app.cli.remote.client import Client, Installation
from app.cli.remote.keys import Keys
from app.cli.remote.limits import Alerts, Limits, Models
from app.cli.remote.people import AdminKeys, Projects, Users
from app.cli.remote.prices import Prices
from app.cli.remote.reports import Reports

T = TypeVar("T")


def _reading(cls: type[T]) -> type[T]:
    """Every method takes answers apart: whatever of an answer it cannot read is told as a stranger's."""
    for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction):
        setattr(cls, name, _read(method))
    return cls


def _read(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def call(self: "Remote", *args: Any, **named: Any) -> Any:
        with self.client.reading():
            return await method(self, *args, **named)

    return call


@_reading
@dataclass(frozen=True)
class Remote(Users, Projects, AdminKeys, Keys, Limits, Models, Alerts, Prices, Reports):
    client: Client
    installation: Installation
