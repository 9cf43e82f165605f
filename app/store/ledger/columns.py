"""Columns of a request, each listed once, as a field of the row type that writes it.

`tables/book.py` builds the table from these fields, and both ledgers their statements and values. A new
nullable column is a field here, a value where the row type is made, and a migration. A field of `Ending` is written again when
an unknown request ends later: mark it KEEPS_IF_NONE, or fill it in `app/control/decisions.py:_ending` too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Annotated, Any, Final, Literal, NamedTuple, get_type_hints

from sqlalchemy import JSON, BigInteger, Column, Integer, LargeBinary, Text

from app.core.limits import Limit, Unit

State = Literal["reserved", "dispatched", "settled", "released", "unknown"]
IN_PROGRESS: tuple[State, ...] = ("reserved", "dispatched")
"""States of a request that a process drives."""
UNRESOLVED: tuple[State, ...] = (*IN_PROGRESS, "unknown")
"""States in which a request holds money."""
KEEPS_IF_NONE: Final = "keeps if None"
"""Marks a field whose value None leaves the column as it is."""
PERSONAL: Final = "personal"
"""Marks a field that holds or tells a prompt, or that its client chose freely: an erasure of its user empties the column."""


@dataclass(frozen=True, slots=True)
class CounterKey:
    """Counter that a request holds on: a limit in the interval that begins at `starts_at_ms` (0 for a lifetime)."""

    limit: Limit
    starts_at_ms: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Columns written by a reservation, its counters, and the revision of the control data it was decided on.

    There are no foreign keys: each reservation would lock the same few rows of keys, users and projects.
    """

    revision: int
    counter_keys: tuple[CounterKey, ...]
    request_id: Annotated[str, Column("id", Text, primary_key=True)]
    owner: Annotated[str, Column(Text, nullable=False, comment="the process that drives it")]
    api_key_id: Annotated[str, Column(Text, nullable=False)]
    user_id: Annotated[str, Column(Text, nullable=False)]
    project_id: Annotated[str, Column(Text, nullable=False)]
    operation: Annotated[str, Column(Text, nullable=False)]
    model: Annotated[str, Column(Text, nullable=False)]
    n: Annotated[int, Column(Integer, nullable=False, comment="images asked for")]
    size: Annotated[str | None, Column(Text, comment="the answer's once settled, until then the request's")]
    quality: Annotated[str | None, Column(Text, comment="as size")]
    stream: Annotated[bool, Column(Integer, nullable=False)]
    prompt_chars: Annotated[int, Column(Integer, nullable=False)]
    prompt_hmac: Annotated[
        bytes | None, Column(LargeBinary, comment="tells equal prompts; the prompt itself is not kept"), PERSONAL
    ]
    quote_micros: Annotated[int, Column(BigInteger, nullable=False)]
    reserved_at_ms: Annotated[
        int, Column(BigInteger, nullable=False, comment="also the instant of its price and of its intervals")
    ]
    idempotency_key: Annotated[str | None, Column(Text, comment="the client's; a release frees it"), PERSONAL] = None
    fingerprint: Annotated[
        bytes | None, Column(LargeBinary, comment="equal for requests that ask for the same"), PERSONAL
    ] = None
    tries: Annotated[
        int,
        Column(Integer, nullable=False, server_default="1", comment="of the client's call, as far as they came here"),
    ] = 1
    response_format: Annotated[str | None, Column(Text, comment="as asked: url or b64_json")] = None
    asked_model: Annotated[str | None, Column(Text, comment="the alias asked for; NULL where the model itself was")] = (
        None
    )
    prompt: Annotated[
        str | None, Column(Text, comment="NULL unless prompts are kept; never in lists or CSV"), PERSONAL
    ] = None
    duplicate_digest: Annotated[
        bytes | None,
        Column(
            LargeBinary,
            comment="equal for requests of one user in one project that ask for the same; a release clears it",
        ),
        PERSONAL,
    ] = None
    via: Annotated[str | None, Column(Text, comment="`console` where a person bought it there; NULL for the API")] = (
        None
    )
    source_digest: Annotated[
        str | None,
        Column(Text, comment="BLAKE3 of the first picture that was sent to be edited, in hex; as prompt_hmac"),
        PERSONAL,
    ] = None

    @property
    def looked_up_digest(self) -> bytes | None:
        """Digest to find an earlier purchase by. None for a retry, which is no purchase of its own."""
        return self.duplicate_digest if self.tries == 1 else None

    def hold(self, unit: Unit) -> int:
        """Return what the request holds of a limit, in the limit's unit."""
        column = HOLDS[unit]
        amount: int = 1 if column is None else getattr(self, column)
        return amount


@dataclass(frozen=True, slots=True)
class Ending:
    """Columns written when an exchange ends, whatever its outcome. `is_retryable`: the error asked the client to retry, so the
    retry may find this request even after a release."""

    at_ms: Annotated[int, Column("ended_at_ms", BigInteger, comment="settled, released or given up as unknown")]
    http_status: Annotated[int | None, Column(Integer, comment="of the answer the client was given")]
    error_code: Annotated[str | None, Column(Text)] = None
    error: Annotated[
        dict[str, Any] | None,
        Column(JSON, comment="what the client was told instead of images, for whoever asks again"),
    ] = None
    upstream_request_id: Annotated[str | None, Column(Text), KEEPS_IF_NONE] = None
    upstream_ms: Annotated[
        int | None, Column(Integer, comment="from dispatch to the relay's last byte"), KEEPS_IF_NONE
    ] = None
    upstream_status: Annotated[
        int | None, Column(Integer, comment="of a refusal by the relay; 200 for an error in its answer"), KEEPS_IF_NONE
    ] = None
    upstream_code: Annotated[str | None, Column(Text, comment="the relay's own code of its refusal"), KEEPS_IF_NONE] = (
        None
    )
    upstream_message: Annotated[
        str | None,
        Column(Text, comment="the relay's words, without keys, hosts and request ids"),
        KEEPS_IF_NONE,
        PERSONAL,
    ] = None
    is_retryable: bool = False


LINK_ONLY = -1
"""Length of a cut whose picture is not kept: the relay's link to it is all there was, because it could not be fetched."""


class Cut(NamedTuple):
    """Place in a stored answer where the base64 of its picture number `picture` was cut out, because that picture is kept. With a
    length of 0 the picture is kept and nothing was cut; with LINK_ONLY it is not kept."""

    offset: int
    length: int
    picture: int


@dataclass(frozen=True, slots=True)
class StoredResult:
    """Stored answer of the relay: in `body` if small, else in a file named by the request id (`body` is None). `cuts` is None until
    its pictures are kept; a settlement leaves it so."""

    body: bytes | None
    body_bytes: int
    created_at_ms: int
    expires_at_ms: int
    cuts: tuple[Cut, ...] | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Columns written when a request settles, with its ending, the hour and local day of its reservation for the roll-up, and its
    answer."""

    ending: Ending
    cost_micros: Annotated[int, Column(BigInteger, comment="of a settled one")]
    images: Annotated[int, Column(Integer, comment="that came back")]
    hour_at_ms: int
    day: str
    size: Annotated[str | None, KEEPS_IF_NONE] = None
    quality: Annotated[str | None, KEEPS_IF_NONE] = None
    flag: Annotated[
        str | None, Column(Text, comment="short: fewer images than asked; bad_payload: charged, and not an image")
    ] = None
    input_tokens: Annotated[int | None, Column(BigInteger)] = None
    output_tokens: Annotated[int | None, Column(BigInteger)] = None
    result: StoredResult | None = None


class _Written(NamedTuple):
    """Column and the field of its value. `column` is None where another row type lists it too."""

    field: str
    name: str
    column: Column[Any] | None
    keeps: bool
    is_personal: bool


def _written(row_type: type) -> tuple[_Written, ...]:
    found = []
    for field, hint in get_type_hints(row_type, include_extras=True).items():
        marks: tuple[Any, ...] = getattr(hint, "__metadata__", ())
        column = next((mark for mark in marks if isinstance(mark, Column)), None)
        if column is not None:
            column.name = column.key = column.name or field
        if marks:
            name = field if column is None else column.name
            found.append(_Written(field, name, column, KEEPS_IF_NONE in marks, PERSONAL in marks))
    return tuple(found)


_WRITTEN: Final = {row_type: _written(row_type) for row_type in (Reservation, Ending, Settlement)}
Row = Reservation | Ending | Settlement
NOT_BOOKED: Final = (None,) * len(_WRITTEN[Settlement])
"""Values of the settlement's columns for a request that ends without a settlement."""
ERASED_COLUMNS: Final = tuple(each.name for written in _WRITTEN.values() for each in written if each.is_personal)
"""Columns of the fields that are marked PERSONAL."""


def columns() -> list[Column[Any]]:
    """Return the columns of all row types, for the table."""
    return [each.column for written in _WRITTEN.values() for each in written if each.column is not None]


def names(row_type: type[Row]) -> str:
    """Return the columns of a row type for an INSERT, in the order of `values`."""
    return ", ".join(each.name for each in _WRITTEN[row_type])


def values(row: Row) -> tuple[Any, ...]:
    """Return the values of a row in the form that both drivers take."""
    return tuple(_bound(getattr(row, each.field)) for each in _WRITTEN[type(row)])


def _bound(value: Any) -> Any:
    kind = type(value)
    return int(value) if kind is bool else json.dumps(value) if kind is dict else value


def placeholders(row_type: type[Row], markers: Iterator[str]) -> str:
    """Return a marker for each of `names`: taken from `question_marks()` on SQLite, from `numbers(first)` on PostgreSQL."""
    return ", ".join(islice(markers, len(_WRITTEN[row_type])))


def assignments(row_types: Iterable[type[Row]], markers: Iterator[str]) -> str:
    """Return the SET list of an UPDATE of `requests r`, with the values of these row types one after the other."""
    written = [each for row_type in row_types for each in _WRITTEN[row_type]]
    return ", ".join(
        f"{each.name} = coalesce({marker}, r.{each.name})" if each.keeps else f"{each.name} = {marker}"
        for each, marker in zip(written, islice(markers, len(written)), strict=True)
    )


def question_marks() -> Iterator[str]:
    while True:
        yield "?"


def numbers(first: int) -> Iterator[str]:
    return (f"${number}" for number in count(first))


HOLDS: Final[Mapping[Unit, str | None]] = {
    "micros": "quote_micros",
    "images": "n",
    "requests": None,
    "in_flight": None,
}
"""Column of the request with the amount of its hold, by the limit's unit; None for an amount of 1. A hold lasts from the
reservation until the request settles or is released; in flight, as long as it is IN_PROGRESS."""
SPENDS: Final[Mapping[Unit, str | None]] = {"micros": "cost_micros", "images": "images", "requests": None}
"""Column with the amount a settled request has spent, by the limit's unit, as in HOLDS: of `images` and `n` the larger one, so that
more images than asked for are spent too. in_flight is never spent."""
