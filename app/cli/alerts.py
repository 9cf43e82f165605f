"""imagegate alerts: who is told when so much is used."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.limits import Key, Model, Organization, Per, Project, User, chosen_scope, required_scope
from app.cli.output import Column, Output, say
from app.errors import InvalidValue

if TYPE_CHECKING:
    from app.core.alerts import Alert, AlertUnit, Channel

app = typer.Typer(help="Who is told when so much is used: by mail, signed webhook or chat.")
_ALERT = [
    Column("id"),
    Column("scope"),
    Column("owner", none="-"),
    Column("model", none="any"),
    Column("unit"),
    Column("interval"),
    Column("threshold", "number"),
    Column("channels"),
    Column("created_at_ms", "time"),
]


@command(app, "create")
async def create(
    call: Call,
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
    from app.control.alerts import NewAlert

    where = required_scope(chosen_scope(organization, project, user, key))
    unit, threshold = _threshold({"micros": spend, "images": images, "requests": requests})
    channels = _channels(mail or [], subject_prefix, webhook or [], chat or [])
    wanted = NewAlert(where, unit, per.value, threshold, channels, model)
    async with call.administration() as administration:
        alert = await administration.create_alert(wanted)
    secrets = {channel.url: channel.secret for channel in alert.channels if channel.secret}
    if call.out.is_json:
        call.out.json({**_json(call.out, alert), "secrets": secrets})
        return
    call.out.rows(_ALERT, [_record(call.out, alert)])
    for url, secret in secrets.items():
        say(f"imagegate: the receiver at {url} verifies with this secret, which is shown only now:")
        print(secret)


@command(app, "list")
async def list_(call: Call) -> None:
    """Show all alerts, without secrets."""
    async with call.administration() as administration:
        found = await administration.list_alerts()
    if call.out.is_json:
        call.out.json({"data": [_json(call.out, alert) for alert in found]})
    else:
        call.out.rows(_ALERT, [_record(call.out, alert) for alert in found])


@command(app, "delete")
async def delete(call: Call, alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id.")]) -> None:
    """Delete an alert, and what it has not sent yet."""
    async with call.administration() as administration:
        alert = await administration.delete_alert(alert_id)
    call.out.json(_json(call.out, alert)) if call.out.is_json else call.out.rows(_ALERT, [_record(call.out, alert)])


def _threshold(given: "dict[AlertUnit, Any]") -> "tuple[AlertUnit, int]":
    from app.core.money import hundredths_micros

    wanted = [(unit, value) for unit, value in given.items() if value is not None]
    if len(wanted) != 1:
        raise InvalidValue("Say how much of what: one of --spend, --images and --requests.")
    unit, value = wanted[0]
    try:
        return unit, hundredths_micros(value) if unit == "micros" else value
    except ValueError as exc:
        raise InvalidValue(f"{exc}.", param="spend") from None


def _channels(
    mail: list[str], subject_prefix: str | None, webhook: list[str], chat: list[str]
) -> "tuple[Channel, ...]":
    from app.core.alerts import Channel

    mails = [Channel("email", tuple(mail), subject_prefix)] if mail else []
    webhooks = [Channel("webhook", url=url) for url in webhook]
    chats = [Channel("chat", url=url) for url in chat]
    if not (channels := (*mails, *webhooks, *chats)):
        raise InvalidValue("Say who is told: --mail ADDRESS, --webhook URL or --chat feishu://TOKEN.")
    return channels


def _record(out: Output, alert: "Alert") -> dict[str, Any]:
    names = ("id", "scope", "interval", "created_at_ms")
    is_money = alert.unit == "micros"
    return {
        **{name: getattr(alert, name) for name in names},
        "owner": alert.owner or alert.scope_id or None,
        "model": alert.model or None,
        "unit": "spend" if is_money else alert.unit,
        "threshold": out.money(alert.threshold) if is_money else alert.threshold,
        "channels": [_shown(channel) for channel in alert.channels],
    }


def _shown(channel: "Channel") -> str:
    return ", ".join(channel.recipients) if channel.type == "email" else str(channel.public()["url"])


def _json(out: Output, alert: "Alert") -> dict[str, Any]:
    """Of spend the threshold ends with `_micros`."""
    unit = "_micros" if alert.unit == "micros" else ""
    return {
        "id": alert.id,
        "scope": alert.scope,
        "scope_id": alert.scope_id or None,
        "owner": alert.owner or None,
        "model": alert.model or None,
        "unit": "spend" if unit else alert.unit,
        "interval": alert.interval,
        f"threshold{unit}": alert.threshold,
        "channels": [channel.public() for channel in alert.channels],
        "created_at": out.time(alert.created_at_ms),
    }
