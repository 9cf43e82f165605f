"""Filters that the lists of requests and of refusals share."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends
from fastapi import Query as QueryField

from app.control.requests import RequestFilter
from app.store.ledger.columns import State

_Text = Annotated[str | None, QueryField(max_length=200)]
_Instant = Annotated[int | None, QueryField(ge=0, le=32_503_680_000, description="Unix seconds.")]


async def filter_from_query(
    user: Annotated[
        _Text, QueryField(description="Only of this user or service account: name, id or e-mail address.")
    ] = None,
    project: Annotated[_Text, QueryField(description="Only of this project: name or id.")] = None,
    key: Annotated[_Text, QueryField(description="Only of the key with this id.")] = None,
    model: Annotated[_Text, QueryField(description="Only of this model, or of this alias.")] = None,
    status: Annotated[int | None, QueryField(ge=100, le=599, description="Only with this HTTP status.")] = None,
    code: Annotated[_Text, QueryField(description="Only with this error code.")] = None,
    since: _Instant = None,
    until: _Instant = None,
) -> RequestFilter:
    """Make the filter from the query string. `since` is inclusive, `until` exclusive."""
    return RequestFilter(
        user=user,
        project=project,
        api_key_id=key,
        model=model,
        http_status=status,
        error_code=code,
        since_ms=None if since is None else since * 1000,
        until_ms=None if until is None else until * 1000,
    )


Filter = Annotated[RequestFilter, Depends(filter_from_query)]
_Refused = Annotated[
    bool,
    QueryField(
        description="Only those refused once they were booked: by the relay, the provider or, late, the gateway."
    ),
]


async def book_filter_from_query(
    wanted: Filter, state: State | None = None, refused: _Refused = False
) -> RequestFilter:
    """Add the conditions that only requests in the book have."""
    return replace(wanted, state=state, refused=refused)


BookFilter = Annotated[RequestFilter, Depends(book_filter_from_query)]
