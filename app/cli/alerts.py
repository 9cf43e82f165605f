"""imagegate alerts: messages when usage reaches a threshold, or a relay is in trouble."""

import re
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.command import FAILED, ApiContext, Yes, command, confirm, with_flags
from app.cli.limits import Key, Model, Organization, Per, Project, User, chosen_scope, required_scope
from app.cli.output import Column, Record, say
from app.errors import InvalidValue

app = typer.Typer(help="Who is told when so much is used: by mail, signed webhook or chat.")
ONLY_RELAYS = "--relays takes --balance-days and the channels, and no scope, amount or interval."
_ALERT = (
    Column("id"),
    Column("scope"),
    Column("owner", value=lambda alert: alert["scope_name"] or alert["scope_id"], none="-"),
    Column("model", none="any"),
    Column("unit", value=lambda alert: "spend" if alert["unit"] == "micros" else alert["unit"]),
    Column("interval"),
    Column("threshold", "amount", none="no limit"),
    Column("percent", heading="of limit", value=lambda alert: alert["percent"] and f"{alert['percent']}%"),
    Column("channels", value=lambda alert: [_destination(each) for each in alert["notification_channels"]]),
    Column("created_at", "time"),
)

_TEST = (
    Column("channel", value=lambda test: _destination(test["notification_channel"])),
    Column("delivered"),
    Column("error"),
)
_HISTORY = (
    Column("fired_at", "time"),
    Column("threshold", "amount"),
    Column("used", "amount"),
    Column("channel", value=lambda firing: _destination(firing["delivery"]["notification_channel"])),
    Column("delivery.state", heading="state"),
    Column("delivery.attempts", "number", heading="attempts"),
    Column("delivery.ended_at", "time", heading="ended_at"),
    Column("delivery.next_attempt_at", "time", heading="next_attempt_at"),
    Column("delivery.error", heading="error"),
)
_RELAY_HISTORY = (
    Column("fired_at", "time"),
    Column("relay"),
    Column("news", value=lambda firing: "began" if firing["used"] else "over"),
    Column("code", none="balance"),
    *_HISTORY[3:],
)


class LimitKind(StrEnum):
    spend = "spend"
    images = "images"
    requests = "requests"


@command(app, "create")
async def create(
    ctx: ApiContext,
    organization: Organization = False,
    project: Project = None,
    user: User = None,
    key: Key = None,
    model: Model = None,
    spend: Annotated[str | None, typer.Option(metavar="800.00", help="When this much money is spent.")] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="When this many images are bought.")] = None,
    requests: Annotated[int | None, typer.Option(metavar="N", help="When this many requests are made.")] = None,
    relays: Annotated[
        bool, typer.Option("--relays", help="When a relay is paused, and when it is well again.")
    ] = False,
    balance_days: Annotated[
        int | None, typer.Option(metavar="N", help="With --relays: also when a balance lasts for fewer days.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="80%", help="When so much of the limit of this scope is used.")
    ] = None,
    of: Annotated[LimitKind | None, typer.Option(help="Which limit --at is of, where there are several.")] = None,
    per: Annotated[Per | None, typer.Option(help="In which interval; month, or that of the limit of --at.")] = None,
    mail: Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="Tell this one; may be repeated.")] = None,
    subject_prefix: Annotated[str | None, typer.Option(metavar="P", help="What subjects of mails begin with.")] = None,
    webhook: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="POST there, signed; may be repeated.")
    ] = None,
    chat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="feishu://TOKEN", help="A robot: feishu, lark, dingtalk, wecombot or slack; may be repeated."
        ),
    ] = None,
) -> None:
    """Tell somebody once an interval when so much is used, at once where it is already, or of each trouble of a relay. Prints the
    secrets of webhooks, now and never again."""
    amounts = {"micros": spend, "images": images, "requests": requests}
    channels = _channels(mail or [], subject_prefix, webhook or [], chat or [])
    is_on_relays = relays or balance_days is not None
    scope = {} if is_on_relays else required_scope(chosen_scope(organization, project, user, key))
    if is_on_relays:
        when = _of_relays(relays, balance_days, [project, user, key, model, at, of, per, *amounts.values()])
    elif at is None:
        unit, threshold = _threshold(amounts)
        when = {"unit": unit, "interval": per or Per.month, "threshold": threshold}
    else:
        when = await _percent(
            ctx, at, [value for value in amounts.values() if value is not None], of, per, scope, model
        )
    _show_created(ctx, await ctx.client.post("alerts", **scope, **when, model=model, notification_channels=channels))


def _show_created(ctx: ApiContext, alert: Record) -> None:
    if ctx.out.is_json:
        ctx.out.json(alert)
        return
    ctx.out.table(_ALERT, [alert])
    for channel in alert["notification_channels"]:
        if secret := channel.get("secret"):
            say(f"imagegate: the receiver at {channel['url']} verifies with this secret, which is shown only now:")
            print(secret)


@command(app, "list")
async def list_(ctx: ApiContext) -> None:
    """Show all alerts, without secrets."""
    ctx.out.rows(_ALERT, await ctx.client.every("alerts"))


@command(app, "delete")
async def delete(
    ctx: ApiContext, alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id.")], yes: Yes = False
) -> None:
    """Delete an alert, and what it has not sent yet."""
    alert = await ctx.client.get("alerts", alert_id)
    confirm(f"Delete the alert {alert['id']} and the messages that it has not sent yet?", yes=yes)
    await ctx.client.delete("alerts", alert["id"])
    ctx.out.json(alert) if ctx.out.is_json else ctx.out.table(_ALERT, [alert])


@command(app, "test")
async def test(ctx: ApiContext, alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id.")]) -> None:
    """Send a message that is marked as a test to every channel of an alert now, and say of each whether it was delivered."""
    answer = await ctx.client.post("alerts", alert_id, "test")
    failed = sum(not each["delivered"] for each in answer["channels"])
    if ctx.out.is_json:
        ctx.out.json(answer)
    else:
        ctx.out.table(_TEST, answer["channels"])
        say(
            f"imagegate: {failed} of {len(answer['channels'])} not delivered."
            if failed
            else "imagegate: all delivered."
        )
    if failed:
        raise typer.Exit(FAILED)


@command(app, "history")
async def history(ctx: ApiContext, alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id.")]) -> None:
    """Show when an alert fired, the newest 20 times, and how each of its messages went."""
    firings = await ctx.client.get("alerts", alert_id, "firings")
    if ctx.out.is_json:
        ctx.out.json(firings)
        return
    unit = (await ctx.client.get("alerts", alert_id))["unit"]
    lines = [{**firing, "unit": unit, "delivery": each} for firing in firings["data"] for each in firing["deliveries"]]
    ctx.out.table(_RELAY_HISTORY if unit == "relays" else _HISTORY, lines)
    if not lines:
        say(
            with_flags(
                f"imagegate: it has not fired yet. Try its channels: `imagegate alerts test {alert_id}`",
                ctx.target.flags,
            )
        )


def _of_relays(relays: bool, balance_days: int | None, others: list[Any]) -> dict[str, Any]:
    if not relays or any(others):
        raise InvalidValue(ONLY_RELAYS)
    return {"unit": "relays", "threshold": balance_days or 0}


async def _percent(
    ctx: ApiContext,
    at: str,
    amounts: list[Any],
    of: LimitKind | None,
    per: Per | None,
    scope: dict[str, str],
    model: str | None,
) -> dict[str, Any]:
    """Return the API's fields for a per cent of the one limit that fits. Raises InvalidValue when none or several do."""
    if amounts:
        raise InvalidValue(
            "Say --at 80% of a limit, or how much with --spend, --images or --requests, not both.", param="at"
        )
    if re.fullmatch(r"\d{1,3}%?", at, re.ASCII) is None:
        raise InvalidValue(f"{at[:20]!r} is no per cent of a limit: write --at 80%.", param="at")
    unit = "micros" if of == LimitKind.spend else of
    found = [
        limit
        for limit in (await ctx.client.get("limits", **scope))["data"]
        if (limit["model"], limit["scope"]) == (model, scope["scope"])
        and limit["unit"] != "in_flight"
        and limit["interval"] != "minute"
        and unit in (None, limit["unit"])
        and per in (None, limit["interval"])
    ]
    if not found:
        message = f"There is no such limit to take {at} of. `imagegate limits show` lists them; `imagegate limits set` sets one."
        raise InvalidValue(message, param="at")
    if len(found) > 1:
        names = ", ".join(limit["name"] for limit in found)
        raise InvalidValue(f"Which limit is it: {names}? Say it with --of and --per.", param="at")
    return {"unit": found[0]["unit"], "interval": found[0]["interval"], "percent": int(at.removesuffix("%"))}


def _threshold(given: dict[str, Any]) -> tuple[str, int]:
    from app.core.money import hundredths_micros

    chosen = [(unit, value) for unit, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise InvalidValue("Say how much of what: one of --spend, --images and --requests, or --at 80% of a limit.")
    unit, value = chosen[0]
    try:
        return unit, hundredths_micros(value) if unit == "micros" else value
    except ValueError as exc:
        raise InvalidValue(f"{exc}.", param="spend") from None


def _channels(mail: list[str], subject_prefix: str | None, webhook: list[str], chat: list[str]) -> list[dict[str, Any]]:
    mails: list[dict[str, Any]] = (
        [{"type": "email", "recipients": mail, "subject_prefix": subject_prefix}] if mail else []
    )
    webhooks = [{"type": "webhook", "url": url} for url in webhook]
    chats = [{"type": "chat", "url": url} for url in chat]
    if not (channels := [*mails, *webhooks, *chats]):
        raise InvalidValue("Say who is told: --mail ADDRESS, --webhook URL or --chat feishu://TOKEN.")
    return channels


def _destination(channel: Record) -> str:
    return ", ".join(channel["recipients"]) if channel["type"] == "email" else str(channel["url"])
