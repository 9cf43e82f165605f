"""What was used, and who changed what, on a gateway elsewhere."""

from collections.abc import Sequence
from typing import Any

from app.cli.remote.client import Client
from app.cli.remote.times import required_ms
from app.control.usage import UsageReport
from app.core.actors import Actor
from app.store.audit_logs import LoggedChange
from app.store.usage import Sums, UsageRow


class Reports:
    client: Client

    async def usage(self, by: Sequence[str], since: str | None, until: str | None) -> UsageReport:
        found = await self.client.get("usage", "report", by=",".join(by), since=since, until=until)
        rows = [UsageRow(tuple(_name(row, name) for name in found["by"]), _sums(row)) for row in found["data"]]
        return UsageReport(tuple(found["by"]), tuple(rows), _sums(found["total"]))

    async def changes(self, count: int, events: Sequence[str], targets: Sequence[str]) -> Sequence[LoggedChange]:
        found: list[LoggedChange] = []
        async for each in self.client.every("audit_logs", event_types=list(events), resource_ids=list(targets)):
            found.append(_change(each))
            if len(found) == count:
                break
        return found


def _name(row: Any, name: str) -> tuple[str, str]:
    text = row[name] or ""
    return text, row.get(f"{name}_id", text)


def _sums(found: Any) -> Sums:
    return Sums(*(found[name] for name in Sums.__slots__))


def _change(found: Any) -> LoggedChange:
    project = found.get("project") or {"id": None, "name": None}
    return LoggedChange(
        id=found["id"],
        at_ms=required_ms(found["effective_at"]),
        actor=_actor(found["actor"]),
        event=found["event"],
        target_id=found[found["event"]]["id"],
        project_id=project["id"],
        project=project["name"],
        before=found["before"],
        after=found["after"],
    )


def _actor(found: Any) -> Actor:
    who = found["api_key"] if found["type"] == "api_key" else found["session"]["user"]
    return Actor(found["kind"], who["id"], found["name"])
