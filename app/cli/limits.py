"""imagegate limits: what may be spent and used, and how much of it is."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.cli.command import Call, command
from app.cli.output import Column, Output
from app.errors import InvalidValue

if TYPE_CHECKING:
    from app.control.limits import LimitChange, LimitState, ScopeRef
    from app.core.intervals import Interval
    from app.core.limits import Unit

app = typer.Typer(help="What may be spent and used, per scope, model and interval.")


class Per(StrEnum):
    day = "day"
    week = "week"
    month = "month"
    lifetime = "lifetime"


Organization = Annotated[bool, typer.Option("--organization", help="For the whole installation.")]
Project = Annotated[str | None, typer.Option(metavar="P", help="For a project: name or id.")]
User = Annotated[str | None, typer.Option(metavar="U", help="For a user: name or id.")]
Key = Annotated[str | None, typer.Option(metavar="ID", help="For a key: its id.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="Only for this model.")]
Amount = Annotated[str | None, typer.Option(metavar="N", help="A whole number, or none to remove the limit.")]
_TABLE = [
    Column("limit"),
    Column("interval"),
    Column("amount", "number"),
    Column("spent", "number"),
    Column("held", "number"),
    Column("left", "number"),
    Column("resets_at_ms", "time"),
]


class Wish(NamedTuple):
    """One pair of options as given."""

    option: str
    unit: "Unit"
    amount: str | None
    per: "Interval | None"


@command(app, "set")
async def set_(
    call: Call,
    organization: Organization = False,
    project: Project = None,
    user: User = None,
    key: Key = None,
    model: Model = None,
    spend: Annotated[str | None, typer.Option(metavar="12.50", help="Money, or none to remove the limit.")] = None,
    spend_per: Annotated[Per | None, typer.Option(help="The interval of --spend.")] = None,
    images: Amount = None,
    images_per: Annotated[Per | None, typer.Option(help="The interval of --images.")] = None,
    requests: Amount = None,
    requests_per: Annotated[Per | None, typer.Option(help="The interval of --requests.")] = None,
    requests_per_minute: Amount = None,
    images_per_minute: Amount = None,
    concurrent: Amount = None,
) -> None:
    """Set, change or remove limits, several at once; then show those of this scope and model."""
    where = required_scope(chosen_scope(organization, project, user, key))
    wishes = [
        Wish("--spend", "micros", spend, _interval(spend_per)),
        Wish("--images", "images", images, _interval(images_per)),
        Wish("--requests", "requests", requests, _interval(requests_per)),
        Wish("--requests-per-minute", "requests", requests_per_minute, "minute"),
        Wish("--images-per-minute", "images", images_per_minute, "minute"),
        Wish("--concurrent", "in_flight", concurrent, "lifetime"),
    ]
    changes = [change for wish in wishes if (change := _change(wish)) is not None]
    if not changes:
        raise InvalidValue("Say what to limit, for example --spend 12.50 --spend-per month.")
    async with call.administration() as administration:
        states = await administration.set_limits(where, model, changes)
    _print(call.out, states)


@command(app, "show")
async def show(
    call: Call,
    organization: Organization = False,
    project: Project = None,
    user: User = None,
    key: Key = None,
    model: Model = None,
) -> None:
    """Show limits and what is spent, held and left in their current intervals: of one scope, or all."""
    where = chosen_scope(organization, project, user, key)
    async with call.administration() as administration:
        states = await administration.show_limits(where, model)
    _print(call.out, states)


def chosen_scope(organization: bool, project: str | None, user: str | None, key: str | None) -> "ScopeRef | None":
    from app.control.limits import ScopeRef

    named = {"project": project, "user": user, "key": key}
    given = [ScopeRef(scope, name) for scope, name in named.items() if name is not None]  # type: ignore[arg-type]
    given += [ScopeRef("organization")] if organization else []
    if len(given) > 1:
        raise InvalidValue("Name one scope only: --organization, --project, --user or --key.")
    return given[0] if given else None


def required_scope(where: "ScopeRef | None") -> "ScopeRef":
    if where is None:
        raise InvalidValue("Name the scope: --organization, --project P, --user U or --key ID.")
    return where


def _interval(per: Per | None) -> "Interval | None":
    return None if per is None else per.value


def _change(wish: Wish) -> "LimitChange | None":
    from app.control.limits import LimitChange

    if (wish.amount is None and wish.per in (None, "minute")) or (
        wish.option == "--concurrent" and wish.amount is None
    ):
        return None
    param = wish.option[2:].replace("-", "_")
    if wish.per is None:
        raise InvalidValue(f"{wish.option} needs {wish.option}-per day, week, month or lifetime.", param=f"{param}_per")
    if wish.amount is None:
        raise InvalidValue(f"{wish.option}-per needs {wish.option} and an amount, or none.", param=param)
    amount = None if wish.amount == "none" else _amount(wish.unit, wish.amount, param)
    return LimitChange(wish.unit, wish.per, amount)


def _amount(unit: "Unit", text: str, param: str) -> int:
    from app.core.money import hundredths_micros

    try:
        if unit == "micros":
            return hundredths_micros(text)
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise ValueError(f"{text[:20]!r} is not a whole number")
        return int(text)
    except ValueError as exc:
        raise InvalidValue(f"{exc}; `none` removes the limit.", param=param) from None


def _print(out: Output, states: "Sequence[LimitState]") -> None:
    if out.is_json:
        out.json({"data": [_json(out, state) for state in states]})
        return
    out.rows(_TABLE, [_record(out, state) for state in states])


def _record(out: Output, state: "LimitState") -> dict[str, Any]:
    number: Callable[[int], str] = out.money if state.limit.unit == "micros" else str
    used = {"amount": state.limit.amount, "spent": state.spent, "held": state.held, "left": state.left}
    texts = {name: None if value is None else number(value) for name, value in used.items()}
    interval = "at once" if state.limit.unit == "in_flight" else state.limit.interval
    return {"limit": state.limit.label, "interval": interval, **texts, "resets_at_ms": state.resets_at_ms}


def _json(out: Output, state: "LimitState") -> dict[str, Any]:
    """Of money the four numbers end with `_micros`; those of a rate that are counted elsewhere are null."""
    limit, unit = state.limit, "_micros" if state.limit.unit == "micros" else ""
    return {
        "limit": limit.label,
        "scope": limit.scope,
        "scope_id": limit.scope_id or None,
        "owner": limit.owner or None,
        "model": limit.model or None,
        "unit": limit.unit,
        "interval": None if limit.unit == "in_flight" else limit.interval,
        f"amount{unit}": limit.amount,
        f"spent{unit}": state.spent,
        f"held{unit}": state.held,
        f"left{unit}": state.left,
        "resets_at": None if state.resets_at_ms is None else out.time(state.resets_at_ms),
    }
