"""Reconciliation of the book with the bills of the relays."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from app.api.schemas.base import AnswerModel, InputModel, seconds
from app.control.reconciliation import ReconciliationReport, ReconciliationStep
from app.control.reconciliations import missing_of
from app.core.request import DEFAULT_RELAY
from app.upstream.billing import NO_BILLS, RelayBilling

_ACCOUNT: dict[str, Any] = {
    "log_rows": 12,
    "used_points": 821_917,
    "left_points": None,
    "unlimited": True,
    "missing": [],
}
_CHARGE = {"relay": "default", "request_id": "req_01a1ff32beb40ea6e55605530862", "model": "gpt-image-1"}


class OpenRequestOut(AnswerModel):
    """Request that stays unknown, and the reason."""

    relay: str
    request_id: str
    model: str
    created_at: int
    quote_micros: int
    why: str


class DriftDayOut(AnswerModel):
    """Book and bill of a local day at one relay. `closed`: its requests have ended; `is_over`: the two are more than 1 % apart."""

    relay: str
    day: str
    booked_micros: int
    billed_micros: int
    closed: bool
    is_over: bool


class DriftOfModel(AnswerModel):
    """Book and bill of one model at one relay on one local day."""

    relay: str
    day: str
    model: str
    booked_micros: int
    billed_micros: int
    billed_points: int
    measured_at: int


class RelayAccount(AnswerModel):
    """Account of the gateway's key at the default relay, null where that has none. `missing` names each account that could not be
    read, and why; those of other relays begin with the name of the relay."""

    log_rows: int | None
    used_points: int | None
    left_points: int | None
    unlimited: bool
    missing: list[str]

    @classmethod
    def of(cls, reports: Sequence[ReconciliationReport]) -> Self:
        default = next((each.accounts for each in reports if each.relay == DEFAULT_RELAY), NO_BILLS)
        return cls.from_record(default.account, log_rows=_log_rows(default), missing=missing_of(reports))


class AccountOfRelay(AnswerModel):
    """Account of the gateway's key at one relay, in the relay's points; `missing` as of `RelayAccount`, without the name."""

    relay: str
    log_rows: int | None
    used_points: int | None
    left_points: int | None
    unlimited: bool
    missing: list[str]

    @classmethod
    def of(cls, report: ReconciliationReport) -> Self:
        its = report.accounts
        return cls.from_record(its.account, relay=report.relay, log_rows=_log_rows(its), missing=list(its.missing))


def _log_rows(accounts: RelayBilling) -> int | None:
    return len(accounts.log.rows) if accounts.log else None


class ReconciliationOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "reconciliation",
            "dry_run": False,
            "done": [
                {
                    **_CHARGE,
                    "action": "settle",
                    "cost_micros": 1_000_000,
                    "billed_micros": 1_000_000,
                    "reason": "the relay's log has its charge: 68493 points",
                }
            ],
            "open": [
                {
                    **_CHARGE,
                    "created_at": 1795996800,
                    "quote_micros": 1_000_000,
                    "why": "it is too young to be judged",
                }
            ],
            "days": [
                {
                    "relay": "default",
                    "day": "2026-11-30",
                    "booked_micros": 12_000_000,
                    "billed_micros": 12_000_000,
                    "closed": True,
                    "is_over": False,
                }
            ],
            "drift": [
                {
                    "relay": "default",
                    "day": "2026-11-30",
                    "model": "gpt-image-1",
                    "booked_micros": 12_000_000,
                    "billed_micros": 12_000_000,
                    "billed_points": 821_917,
                    "measured_at": 1796083200,
                }
            ],
            "relay": _ACCOUNT,
            "relays": [{"relay": "default", **_ACCOUNT}],
        }
    },
):
    """Result of a reconciliation: steps done, requests that stay open, and the drift, newest first; each with its relay. `relays`
    are those that were asked."""

    object: Literal["reconciliation"] = "reconciliation"
    dry_run: bool
    done: list[ReconciliationStep]
    open: list[OpenRequestOut]
    days: list[DriftDayOut]
    drift: list[DriftOfModel]
    relay: RelayAccount
    relays: list[AccountOfRelay]

    @classmethod
    def of(cls, reports: Sequence[ReconciliationReport], dry_run: bool) -> Self:
        open = [each for report in reports for each in report.open]
        days = sorted((day for report in reports for day in report.days), key=lambda day: day.day, reverse=True)
        drift = sorted((row for report in reports for row in report.drift), key=lambda row: row.day, reverse=True)
        return cls(
            dry_run=dry_run,
            done=[step for report in reports for step in report.steps],
            open=[OpenRequestOut.from_record(each, created_at=seconds(each.reserved_at_ms)) for each in open],
            days=[DriftDayOut.from_record(day) for day in days],
            drift=[DriftOfModel.from_record(row) for row in drift],
            relay=RelayAccount.of(reports),
            relays=[AccountOfRelay.of(report) for report in reports],
        )


class ReconcileRequest(InputModel, json_schema_extra={"example": {"dry_run": True}}):
    """Reconciliation to run. With `dry_run` it changes nothing."""

    dry_run: bool = False
