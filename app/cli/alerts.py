"""imagegate alerts: messages when usage reaches a threshold."""

from typing import Annotated, Any

import typer

from app.cli.command import FAILED, ApiContext, command, with_flags
from app.cli.limits import Key, Model, Organization, Per, Project, User, chosen_scope, required_scope
from app.cli.output import Column, Record, say
from app.errors import InvalidValue

app = typer.Typer(help="Who is told when so much is used: by mail, signed webhook or chat.")
_ALERT = (
    Column("id"),
    Column("scope"),
    Column("owner", value=lambda alert: alert["scope_name"] or alert["scope_id"], none="-"),
    Column("model", none="any"),
    Column("unit", value=lambda alert: "spend" if alert["unit"] == "micros" else alert["unit"]),
    Column("interval"),
    Column("threshold", "amount"),
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
    per: Annotated[Per, typer.Option(help="In which interval.")] = Per.month,
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
    """Tell somebody once an interval when so much is used, at once where it is already. Prints the secrets of webhooks, now and
    never again."""
    scope = required_scope(chosen_scope(organization, project, user, key))
    unit, threshold = _threshold({"micros": spend, "images": images, "requests": requests})
    channels = _channels(mail or [], subject_prefix, webhook or [], chat or [])
    fields = {"unit": unit, "interval": per, "threshold": threshold, "model": model, "notification_channels": channels}
    alert = await ctx.client.post("alerts", **scope, **fields)
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
async def delete(ctx: ApiContext, alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id.")]) -> None:
    """Delete an alert, and what it has not sent yet."""
    alert = await ctx.client.get("alerts", alert_id)
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
    ctx.out.table(_HISTORY, lines)
    if not lines:
        say(
            with_flags(
                f"imagegate: it has not fired yet. Try its channels: `imagegate alerts test {alert_id}`",
                ctx.target.flags,
            )
        )


def _threshold(given: dict[str, Any]) -> tuple[str, int]:
    from app.core.money import hundredths_micros

    chosen = [(unit, value) for unit, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise InvalidValue("Say how much of what: one of --spend, --images and --requests.")
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
