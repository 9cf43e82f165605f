"""imagegate alerts: messages when usage reaches a threshold."""

from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, command
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
