"""Readiness of a gateway, part by part, for load balancers and operators."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog

from app.chores import Chores, ChoreState
from app.control.disk_probe import DiskProbe
from app.control.relay_conditions import RelayCondition, RelayConditions
from app.control.schema_gate import SchemaGate
from app.errors import GatewayError
from app.rates import Rates
from app.store.backups import BackupRows
from app.store.engine import Database
from app.store.processes import SILENT_MS

PROBE_TIMEOUT_S = 3.0
Status = Literal["ready", "degraded", "unready"]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChoreReport:
    """State of a background task. `succeeded_s_ago` is null before its first success; `error` is the class of its last failure,
    null when it works."""

    succeeded_s_ago: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """Result of the checks: `ok` or the problem of each part. A degraded gateway serves requests, an unready one does not."""

    status: Status
    checks: dict[str, str]
    chores: dict[str, ChoreReport]
    last_backup_s_ago: int | None = None
    """Seconds since the last backup that succeeded began; None before the first one."""
    relays: tuple[RelayCondition, ...] = ()
    relay_queue: int = 0
    """Requests that wait for a place at a relay."""


@dataclass(slots=True)
class ReadinessProbe:
    """Checks every part. A failure of heartbeat, database or disk makes the gateway unready, any other one degraded. Whoever asks,
    a change since the last check is logged."""

    database: Database
    schema_gate: SchemaGate
    rates: Rates
    chores: Chores
    disk: DiskProbe
    heartbeat_age_s: Callable[[], float]
    is_draining: Callable[[], bool]
    shared_answers: Callable[[], Awaitable[str]]
    """Returns `ok` when other replicas can replay the answers of this one, else the problem."""
    backups: BackupRows
    backup_problem: Callable[[], Awaitable[str | None]] | None
    """Returns what is wrong with the nightly backups; None where there are none."""
    relays: RelayConditions
    _status: Status = field(default="ready", init=False)

    async def check(self) -> Readiness:
        """Check every part within PROBE_TIMEOUT_S each. Never raises."""
        found = await self._check()
        if found.status != self._status:
            well = ("ok", "memory", "redis")
            failing = {name: problem for name, problem in found.checks.items() if problem not in well}
            (log.info if found.status == "ready" else log.warning)(
                "readiness changed", status=found.status, was=self._status, failing=failing
            )
            self._status = found.status
        return found

    async def _check(self) -> Readiness:
        vital = {"database": await self._database(), "heartbeat": self._heartbeat(), "disk": await self.disk.check()}
        rates = await self.rates.check()
        others, backup_s_ago = dict[str, str](), None
        if vital["database"] == "ok":
            others["results"], backup_s_ago = await self._results(), await self._backup_s_ago()
            if self.backup_problem is not None:
                others["backup"] = await self._answer(self.backup_problem) or "ok"
        failing = self.chores.errors()
        conditions = await self.relays.read()
        others["relays"] = "; ".join(each.problem for each in conditions if each.problem) or "ok"
        others["chores"] = ", ".join(f"{name}: {error}" for name, error in failing.items()) or "ok"
        checks = vital | others | {"rates": rates}
        reports = {name: _report(state) for name, state in self.chores.states.items()}
        facts = (reports, backup_s_ago, tuple(conditions), self.relays.pool.waiting)
        if self.is_draining():
            return Readiness("unready", checks | {"shutdown": "draining"}, *facts)
        if any(found != "ok" for found in vital.values()):
            return Readiness("unready", checks, *facts)
        is_well = rates in ("memory", "redis") and all(found == "ok" for found in others.values())
        return Readiness("ready" if is_well else "degraded", checks, *facts)

    async def _database(self) -> str:
        if self.schema_gate.problem is not None:
            return self.schema_gate.problem
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self.database.now_ms()
        except (GatewayError, TimeoutError):
            return "unreachable"
        return "ok"

    def _heartbeat(self) -> str:
        age_s = self.heartbeat_age_s()
        return "ok" if age_s < SILENT_MS / 1000 else f"silent for {age_s:.0f} s"

    async def _results(self) -> str:
        return await self._answer(self.shared_answers) or "ok"

    async def _answer(self, check: Callable[[], Awaitable[str | None]]) -> str | None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await check()
        except (GatewayError, TimeoutError):
            return "unknown"

    async def _backup_s_ago(self) -> int | None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                at_ms = (await self.backups.last()).at_ms
                return None if at_ms is None else max(0, (await self.database.now_ms() - at_ms) // 1000)
        except (GatewayError, TimeoutError):
            return None


def _report(state: ChoreState) -> ChoreReport:
    ago_s = None if state.succeeded_at_s is None else round(time.monotonic() - state.succeeded_at_s, 1)
    return ChoreReport(ago_s, state.error)
