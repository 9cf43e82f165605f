"""Every change is in the log: who, what, before and after, and in the order in which it was made."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from app.api.schemas.audit_logs import OWN_EVENTS
from app.control import limits, people, prices
from app.control.limits import LimitChange, ScopeRef
from app.core.actors import Actor
from app.core.pricing import PerImage
from app.settings import Settings
from app.store.engine import Database
from app.store.organization import User
from app.store.tables import audit_logs
from tests.administration import create_key, disable_user, enable_user, revoke_key
from tests.api.organization.conftest import Office
from tests.databases import revision

ZONE = Settings(_env_file=None).zone
LIN = Actor("cli", "cli:lin", "lin")


OPENAIS = {
    *("api_key.created", "api_key.updated", "api_key.deleted"),
    "organization.updated",
    *("invite.sent", "invite.accepted", "invite.deleted"),
    *("project.created", "project.updated", "project.archived", "project.deleted"),
    *("rate_limit.updated", "rate_limit.deleted"),
    *("service_account.created", "service_account.updated", "service_account.deleted"),
    *("user.added", "user.updated", "user.deleted"),
}
"""Of the many that openai 3.54.0 lists for `type`, those that fit what can happen here."""


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        found = await connection.execute(audit_logs.select().order_by(audit_logs.c.number))
        return [dict(row) for row in found.mappings()]


async def test_every_change_through_the_api_is_there(office: Office) -> None:
    lin = (await office.post("/users", name="lin"))["id"]
    await office.post(f"/users/{lin}", role="owner")
    red = (await office.post("/projects", name="red"))["id"]
    await office.post(f"/projects/{red}", name="rose")
    await office.post(f"/projects/{red}/users", user_id=lin, role="member")
    await office.post(f"/projects/{red}/users/{lin}", role="owner")
    key = (await office.post(f"/projects/{red}/api_keys", user_id=lin))["id"]
    await office.post(f"/projects/{red}/api_keys/{key}", name="new")
    await office.post(f"/projects/{red}/api_keys/{key}/rotate", leaked=True)
    await office.delete(f"/projects/{red}/users/{lin}")
    account = await office.post(f"/projects/{red}/service_accounts", name="ci")
    await office.post(f"/projects/{red}/service_accounts/{account['id']}", name="cd", role="owner")
    await office.delete(f"/projects/{red}/service_accounts/{account['id']}")
    admin = (await office.post("/admin_api_keys", name="lin's", user_id=lin))["id"]
    await office.delete(f"/users/{lin}")
    await office.post(f"/projects/{red}/archive")

    assert await office.events(actor_ids=office.owner_id) == [
        ("user.added", lin),
        ("user.updated", lin),
        ("project.created", red),
        ("project.updated", red),
        ("user.added", lin),
        ("user.updated", lin),
        ("api_key.created", key),
        ("api_key.updated", key),
        ("api_key.updated", key),
        ("user.deleted", lin),
        ("service_account.created", account["id"]),
        ("api_key.created", account["api_key"]["id"]),
        ("service_account.updated", account["id"]),
        ("service_account.updated", account["id"]),
        ("api_key.deleted", account["api_key"]["id"]),
        ("service_account.deleted", account["id"]),
        ("admin_api_key.created", admin),
        ("api_key.deleted", key),
        ("admin_api_key.deleted", admin),
        ("user.deleted", lin),
        ("project.archived", red),
    ]


async def test_a_change_says_who_what_before_and_after(office: Office) -> None:
    red = await office.post("/projects", name="red")
    await office.post(f"/projects/{red['id']}", name="rose")

    [found] = (await office.get("/audit_logs", limit=1))["data"]

    assert found["type"] == "project.updated"
    assert found["project"] == {"id": red["id"], "name": "rose"}
    assert found["project.updated"] == {"id": red["id"], "changes_requested": {"name": "rose"}}
    assert (found["before"]["name"], found["after"]["name"]) == ("red", "rose")
    assert found["actor"]["type"] == "api_key"
    assert (found["actor"]["api_key"]["id"], found["actor"]["name"]) == (office.owner_id, "the owner's")


async def test_what_openai_has_no_name_for_is_told_by_one_that_it_has_and_by_our_own(office: Office) -> None:
    admin = (await office.post("/admin_api_keys", name="mine"))["id"]
    await office.post("/prices", model="new-model", per_image="0.10")
    logged = (await office.get("/audit_logs"))["data"]

    assert {each["type"] for each in logged} <= OPENAIS
    for each in logged:
        assert each[each["type"]]["id"] == each[each["event"]]["id"]
    assert ("admin_api_key.created", admin) in await office.events(event_types="api_key.created")
    assert [event for event, _ in await office.events(event_types="organization.updated")] == [
        "model.created",
        "price.created",
    ]
    assert [event for event, _ in await office.events(event_types="price.created")] == ["price.created"]


async def test_every_event_of_ours_has_a_name_of_openais() -> None:
    sources = [file.read_text() for file in Path("app/control").glob("*.py")]
    events = {event for source in sources for event in re.findall(r'"([a-z_]+\.(?:[a-z]+ed))"', source)}

    assert {OWN_EVENTS.get(event, event) for event in events} <= OPENAIS
    assert set(OWN_EVENTS.values()) <= OPENAIS


async def test_the_log_is_narrowed_by_each_filter(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    red = await office.post("/projects", name="red")
    await office.post(f"/projects/{red['id']}/users", user_id=lin["id"], role="member")
    [newest] = (await office.get("/audit_logs", limit=1))["data"]
    now = newest["effective_at"]

    assert len(await office.events(**{"event_types[]": ["user.added", "project.created"]})) == 3
    assert await office.events(**{"project_ids[]": red["id"]}) == [
        ("project.created", red["id"]),
        ("user.added", lin["id"]),
    ]
    assert len(await office.events(resource_ids=lin["id"])) == 2
    assert await office.events(actor_ids="nobody") == []
    assert await office.events(actor_emails="nobody@example.com") == []
    assert await office.events(tenant_only="true") == []
    assert len(await office.events(**{"effective_at[gte]": now, "event_types": "user.added"})) >= 1
    assert await office.events(**{"effective_at[gt]": now}) == []
    assert await office.events(**{"effective_at[lt]": 1000}) == []
    assert ("user.added", lin["id"]) in await office.events(**{"effective_at[lte]": now})
    assert await office.refused("GET", "/audit_logs", **{"effective_at[gt]": "x"}) == (
        400,
        "invalid_value",
        "effective_at[gt]",
    )


async def test_a_refused_change_is_not_in_it(office: Office) -> None:
    await office.post("/projects", name="red")
    before = await office.events()

    assert (await office.refused("POST", "/projects", {"name": "red"}))[0] == 409

    assert await office.events() == before


async def test_whatever_control_writes_is_logged_with_its_actor(database: Database) -> None:
    mine = database.by(LIN)
    await people.create_user(mine, "lin")
    await disable_user(mine, "lin")
    await enable_user(mine, "lin")
    key = await create_key(mine)
    await revoke_key(mine, key.id)
    change = LimitChange("micros", "month", 1_000_000)
    await limits.set_limits(mine, ZONE, ScopeRef("user", "lin"), None, [change])
    await limits.set_limits(mine, ZONE, ScopeRef("user", "lin"), None, [LimitChange("micros", "month", None)])
    await prices.set_price(mine, ZONE, prices.PriceEntry("new-model", PerImage(10_000)))

    found = await rows(database)

    assert {(row["actor_kind"], row["actor_id"]) for row in found} == {("cli", "cli:lin")}
    assert [row["event"] for row in found] == [
        "user.added",
        "user.updated",
        "user.updated",
        "user.added",
        "api_key.created",
        "api_key.deleted",
        "limit.updated",
        "limit.deleted",
        "model.created",
        "price.created",
    ]
    assert found[7]["before"]["amount"] == 1_000_000 and found[7]["after"] is None
    assert [row["at_ms"] for row in found] == sorted(row["at_ms"] for row in found)


async def test_what_changes_nothing_is_not_logged(database: Database) -> None:
    await people.create_user(database, "lin")
    await disable_user(database, "lin")
    before = await rows(database)

    await disable_user(database, "lin")
    await limits.set_limits(database, ZONE, ScopeRef("user", "lin"), None, [LimitChange("images", "day", None)])

    assert await rows(database) == before


async def test_a_change_and_its_entry_stand_or_fall_together(database: Database) -> None:
    before = await revision(database)

    async def broken() -> None:
        async with database.write() as connection:
            await people.add_user(connection, User("user-1", "lin", None, 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()

    assert await rows(database) == []
    assert await revision(database) == before


async def test_of_two_settings_of_one_limit_at_once_none_is_lost_from_the_log(database: Database) -> None:
    await people.create_user(database, "lin")
    settings = [
        limits.set_limits(database, ZONE, ScopeRef("user", "lin"), None, [LimitChange("images", "day", amount)])
        for amount in range(1, 11)
    ]
    await asyncio.gather(*settings)

    [state] = await limits.show_limits(database, ZONE, ScopeRef("user", "lin"))
    changes = [row for row in await rows(database) if row["event"] == "limit.updated"]

    assert sorted(row["after"]["amount"] for row in changes) == list(range(1, 11))
    befores = [row["before"] and row["before"]["amount"] for row in changes]
    assert befores == [None, *(row["after"]["amount"] for row in changes[:-1])]
    assert state.limit.amount == changes[-1]["after"]["amount"]
