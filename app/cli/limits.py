"""imagegate limits: limits and their use."""

from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import typer

from app.cli.command import ApiContext, command
from app.cli.language import translate
from app.cli.output import Column, say
from app.core.limits import Unit
from app.errors import InvalidValue

app = typer.Typer(help="What may be spent and used, per scope, model and interval.")


class Per(StrEnum):
    day = "day"
    week = "week"
    month = "month"
    lifetime = "lifetime"


Everyone = Annotated[
    bool,
    typer.Option(
        "--everyone", help="A default for each who has no limit of their own; with --project, for its members."
    ),
]
Organization = Annotated[bool, typer.Option("--organization", help="For the whole installation.")]
Project = Annotated[str | None, typer.Option(metavar="P", help="For a project: name or id.")]
User = Annotated[str | None, typer.Option(metavar="U", help="For a user: name or id.")]
Key = Annotated[str | None, typer.Option(metavar="ID", help="For a key: its id.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="Only for this model.")]
Amount = Annotated[str | None, typer.Option(metavar="N", help="A whole number, or none to remove the limit.")]
_LIMIT = (
    Column("name", heading="limit", value=lambda limit: translate(limit["name"])),
    Column("interval", value=lambda limit: translate("at once") if limit["unit"] == "in_flight" else limit["interval"]),
    Column("amount", "amount"),
    Column("spent", "amount"),
    Column("held", "amount"),
    Column("left", "amount"),
    Column("resets_at", "time"),
)


class LimitOption(NamedTuple):
    """Value of an option that sets an amount, with its unit and interval."""

    option: str
    unit: Unit
    amount: str | None
    interval: str | None


@command(app, "set")
async def set_(
    ctx: ApiContext,
    everyone: Everyone = False,
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
    scope = chosen_scope(organization, project, user, key, everyone=everyone)
    if not scope:
        raise InvalidValue("Name the scope: --everyone, --organization, --project P, --user U or --key ID.")
    options = (
        LimitOption("--spend", "micros", spend, spend_per),
        LimitOption("--images", "images", images, images_per),
        LimitOption("--requests", "requests", requests, requests_per),
        LimitOption("--requests-per-minute", "requests", requests_per_minute, "minute"),
        LimitOption("--images-per-minute", "images", images_per_minute, "minute"),
        LimitOption("--concurrent", "in_flight", concurrent, "lifetime"),
    )
    limits = [limit for option in options if (limit := _limit(option)) is not None]
    if not limits:
        raise InvalidValue("Say what to limit, for example --spend 12.50 --spend-per month.")
    answer = await ctx.client.post("limits", model=model, limits=limits, **scope)
    ctx.out.rows(_LIMIT, answer)
    if not answer["data"]:
        ctx.out.note("No limit is left for this scope and model.")


@command(app, "show")
async def show(
    ctx: ApiContext,
    everyone: Everyone = False,
    organization: Organization = False,
    project: Project = None,
    user: User = None,
    key: Key = None,
    model: Model = None,
) -> None:
    """Show limits and what is spent, held and left in their current intervals: of one scope, or all.

    Without a scope, what users have from a default is left out: `--everyone` shows it, and whose own differs.
    """
    scope = chosen_scope(organization, project, user, key, everyone=everyone)
    answer = await ctx.client.get("limits", model=model, **scope)
    if scope or ctx.out.is_json:
        ctx.out.rows(_LIMIT, answer)
        return
    own = [limit for limit in answer["data"] if limit["default_of"] is None]
    ctx.out.rows(_LIMIT, {**answer, "data": own})
    if left_out := len(answer["data"]) - len(own):
        say(f"Left out: {left_out} that users have from defaults. {ctx.target.command('limits show --everyone')}")


def chosen_scope(
    organization: bool, project: str | None, user: str | None, key: str | None, *, everyone: bool = False
) -> dict[str, str]:
    """Return the API's fields `scope` and `scope_id`; empty when no option is given. Raises InvalidValue for two scopes."""
    if everyone and (organization, user, key) == (False, None, None):
        return {"scope": "everyone"} | ({} if project is None else {"scope_id": project})
    named = {"project": project, "user": user, "key": key}
    given = [{"scope": scope, "scope_id": name} for scope, name in named.items() if name is not None]
    given += [{"scope": "organization"}] if organization else []
    if everyone:
        raise InvalidValue("--everyone goes alone or with --project P, for the members of that project.")
    if len(given) > 1:
        raise InvalidValue("Name one scope only: --organization, --project, --user or --key.")
    return given[0] if given else {}


def required_scope(scope: dict[str, str]) -> dict[str, str]:
    """Return the scope as `chosen_scope` does. Raises InvalidValue when no option is given, too."""
    if not scope:
        raise InvalidValue("Name the scope: --organization, --project P, --user U or --key ID.")
    return scope


def _limit(given: LimitOption) -> dict[str, Any] | None:
    """Make a limit in the API's form; None for an option that is not given."""
    if given.amount is None and (given.interval in (None, "minute") or given.unit == "in_flight"):
        return None
    param = given.option[2:].replace("-", "_")
    if given.interval is None:
        message = f"{given.option} needs {given.option}-per day, week, month or lifetime."
        raise InvalidValue(message, param=f"{param}_per")
    if given.amount is None:
        raise InvalidValue(f"{given.option}-per needs {given.option} and an amount, or none.", param=param)
    amount = None if given.amount == "none" else _amount(given.unit, given.amount, param)
    return {"unit": given.unit, "interval": given.interval, "amount": amount}


def _amount(unit: Unit, text: str, param: str) -> int:
    from app.core.limit_words import parse_amount

    try:
        return parse_amount(unit, text)
    except ValueError as exc:
        raise InvalidValue(f"{exc}; `none` removes the limit.", param=param) from None
