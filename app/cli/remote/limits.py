"""Limits, alerts and models of a gateway elsewhere. Over the API money is in hundredths, and called spend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.cli.remote.client import Client
from app.cli.remote.times import at_ms, required_ms
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.control.models import ModelRow, ModelRule
from app.core.alerts import Alert, Channel
from app.core.limits import Limit
from app.core.money import HUNDREDTH_MICROS

if TYPE_CHECKING:
    from app.control.alerts import NewAlert


class Limits:
    client: Client

    async def show_limits(self, where: ScopeRef | None, model: str | None) -> Sequence[LimitState]:
        scope = {} if where is None else _scope(where)
        return [_state(each) for each in (await self.client.get("limits", model=model, **scope))["data"]]

    async def set_limits(
        self, where: ScopeRef, model: str | None, changes: Sequence[LimitChange]
    ) -> Sequence[LimitState]:
        limits = [
            {
                "unit": _named(change.unit),
                "interval": change.interval,
                "amount": None if change.amount is None else change.amount // _step(change.unit),
            }
            for change in changes
        ]
        found = await self.client.post("limits", model=model, limits=limits, **_scope(where))
        return [_state(each) for each in found["data"]]


class Models:
    client: Client

    async def list_models(self, project: str | None) -> Sequence[ModelRow]:
        return [_model(each) for each in (await self.client.get("models", project=project))["data"]]

    async def set_model_rule(self, project: str, rule: ModelRule | None) -> None:
        path = ("projects", project, "model_permissions")
        if rule is None:
            await self.client.delete(*path)
        else:
            await self.client.post(*path, mode=rule.mode, model_ids=list(rule.models))


class Alerts:
    client: Client

    async def create_alert(self, wanted: "NewAlert") -> Alert:
        fields = {
            "unit": _named(wanted.unit),
            "interval": wanted.interval,
            "threshold_amount": wanted.threshold // _step(wanted.unit),
            "model": wanted.model,
            "notification_channels": [channel.as_json() for channel in wanted.channels],
        }
        return _alert(await self.client.post("alerts", **fields, **_scope(wanted.where)))

    async def list_alerts(self) -> Sequence[Alert]:
        return [_alert(each) async for each in self.client.every("alerts")]

    async def delete_alert(self, alert_id: str) -> Alert:
        found = _alert(await self.client.get("alerts", alert_id))
        await self.client.delete("alerts", found.id)
        return found


def _scope(where: ScopeRef) -> dict[str, Any]:
    return {"scope": where.scope, "scope_id": where.reference if where.scope != "organization" else None}


def _named(unit: str) -> str:
    return "spend" if unit == "micros" else unit


def _unit(name: str) -> Any:
    return "micros" if name == "spend" else name


def _step(unit: str) -> int:
    """How much of our unit one of the API's is."""
    return HUNDREDTH_MICROS if unit == "micros" else 1


def _state(found: Any) -> LimitState:
    unit = _unit(found["unit"])
    ending = "_micros" if unit == "micros" else ""
    limit = Limit(
        id=int(found["id"].removeprefix("limit_")),
        scope=found["scope"],
        scope_id=found["scope_id"] or "",
        owner=found["scope_name"] or "",
        model=found["model"] or "",
        unit=unit,
        interval=found["interval"],
        amount=found["amount"] * _step(unit),
    )
    spent, held, left = (found[f"{name}{ending}"] for name in ("used", "held", "left"))
    return LimitState(limit, spent, held, left, at_ms(found["resets_at"]))


def _model(found: Any) -> ModelRow:
    operations, sizes, qualities = (tuple(found[name]) for name in ("operations", "sizes", "qualities"))
    return ModelRow(found["id"], operations, sizes, qualities, found["priced"], found["allowed"])


def _alert(found: Any) -> Alert:
    unit = _unit(found["unit"])
    return Alert(
        id=found["id"],
        scope=found["scope"],
        scope_id=found["scope_id"] or "",
        model=found["model"] or "",
        unit=unit,
        interval=found["interval"],
        threshold=found["threshold_amount"] * _step(unit),
        channels=tuple(Channel.from_json(channel) for channel in found["notification_channels"]),
        created_at_ms=required_ms(found["created_at"]),
        owner=found["scope_name"] or "",
    )
