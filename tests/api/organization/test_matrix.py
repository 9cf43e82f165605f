"""Every route of the application x every kind of caller: only the intended cells succeed, and objects of others are not there."""

import asyncio
import base64
import io
import re
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi.routing import iter_route_contexts
from PIL import Image

from app.control.invitations import accept_invitation, invite
from app.main import all_routes
from app.store.tables import admin_api_keys, api_keys
from tests.administration import ask_for_images
from tests.api.organization.conftest import Office
from tests.api.organization.matrix import RELAY, ROWS, Row
from tests.databases import postgres_with_all

API_KEYS = ("read-only", "A", "B", "service account")
ADMINS = ("reader", "owner")
NAME = re.compile(r"{([^}]+)}")


@dataclass(frozen=True, slots=True)
class World:
    """`keys` by who holds them, in the order in which they call: whoever succeeds comes last. `objects` by name."""

    office: Office
    keys: dict[str, str]
    objects: dict[str, str]

    async def call(self, row: Row, caller: str, **instead: str) -> httpx2.Response:
        """`instead`: other objects in places of the path."""
        named = {name: self.objects[row.at.get(name, name.partition(":")[0])] for name in NAME.findall(row.path)}
        path = NAME.sub(lambda name: (named | instead)[name[1]], row.path)
        key = self.keys[caller]
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if key.startswith("session "):
            headers = {"Cookie": f"imagegate={key.removeprefix('session ')}", "Origin": self.office.running.url}
        body = None if row.body is None else self._filled(row.body)
        return await self.office.http.request(row.method, path, headers=headers, params=row.query, json=body)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return NAME.sub(lambda name: self.objects[name[1]], value) if isinstance(value, str) else value


def expected(row: Row, caller: str) -> int:
    """What a cell of the matrix must answer."""
    if row.door == "public":
        return row.status
    if row.door == "admin":
        if caller not in ADMINS:
            return 401
        reading = row.reading or (row.status if row.method == "GET" else 403)
        return row.status if caller == "owner" else reading
    if caller not in API_KEYS:
        return 403 if row.door == "linked" and caller == "nobody" else 401
    if caller == "read-only" and row.looking is not None:
        return row.looking
    return row.status if row.door == "own" or caller == "A" else 404


@pytest.mark.parametrize(
    ("database_kind", "every"),
    [("sqlite", 7), pytest.param("sqlite", 1, marks=pytest.mark.slow), ("postgres", 1)],
    indirect=["database_kind"],
)
async def test_only_the_intended_cells_succeed(world: World, every: int) -> None:
    """Of the keys that open nothing each calls every route or, in short, every seventh one, where one authentication serves all."""
    wrong = {}
    for place, row in enumerate(ROWS):
        useless = [each for each in world.keys if each not in ("nobody", *API_KEYS, *ADMINS)]
        for caller in (each for each in world.keys if each not in useless or not (place + useless.index(each)) % every):
            answer = await world.call(row, caller)
            if answer.status_code != expected(row, caller):
                wrong[row.method, row.path, caller] = (answer.status_code, expected(row, caller), answer.text[:200])

    assert wrong == {}
    log = (await world.office.get("/audit_logs", limit=100))["data"]
    changes = [each for each in log if each["actor"]["kind"] == "admin_api_key" and each["event"] != "pictures.listed"]
    assert {each["actor"]["name"] for each in changes} == {"the owner's"}


@postgres_with_all
async def test_sessions_do_what_their_role_says(world: World) -> None:
    signed_in = await _sessions(world)
    world = World(world.office, signed_in, world.objects)
    wrong = {}
    for row in ROWS:
        for caller in signed_in:
            answer = await world.call(row, caller)
            if answer.status_code != (status := expected_by_session(row, caller)):
                wrong[row.method, row.path, caller] = (answer.status_code, status, answer.text[:200])

    assert wrong == {}
    log = (await world.office.get("/audit_logs", limit=100))["data"]
    assert {
        each["actor"]["name"]
        for each in log
        if each["actor"]["kind"] == "session" and each["event"] != "pictures.listed"
    } == {"olga"}


def expected_by_session(row: Row, caller: str) -> int:
    """What a cell of the matrix must answer to a session: buying takes an API key."""
    if row.door == "public":
        return row.status
    if row.door == "linked":
        return {"member": row.status, "ended": 403}.get(caller, 404)
    if row.door != "admin" or caller == "ended":
        return 401
    if caller == "member" or (caller == "reader" and row.method != "GET"):
        return 403
    if caller == "reader" and row.reading is not None:
        return row.reading
    return row.status


async def _sessions(world: World) -> dict[str, str]:
    """A session of each role; that of a member is of whoever owns the pictures."""
    database, found = world.office.running.database, {}
    await world.office.post(f"/users/{world.objects['user_id']}", email="lin@example.com")
    for person in ("ended eva owner", "member lin member", "reader rita reader", "owner olga owner"):
        caller, name, role = person.split()
        new = await invite(database, f"{name}@example.com", role)
        made = await accept_invitation(database, new.token, "a long password", "a browser")
        found[caller] = f"session {made.token}"
        if caller == "ended":
            await world.office.delete(f"/sessions/{made.id}")
    return found


async def test_what_is_not_there_is_404_for_whoever_may_ask(world: World) -> None:
    for row in ROWS:
        for name in NAME.findall(row.path if row.door != "public" else ""):
            caller = "owner" if row.door == "admin" else "A"
            answer = await world.call(row, caller, **{name: "nothing"})
            assert answer.status_code == 404, (row.method, row.path, name, answer.text)
            assert answer.json()["error"]["code"] in ("not_found", "model_not_found")


async def test_what_is_in_one_project_is_not_in_another(world: World) -> None:
    found = 0
    for row in ROWS:
        names = NAME.findall(row.path)
        if "project_id" in names and len(names) > 1 and not row.shared:
            answer = await world.call(row, "owner", project_id=world.objects["other_project"])
            assert answer.status_code == 404, (row.method, row.path, answer.text)
            found += 1
    assert found > 15
    for alert in ("project_alert", "our_alert"):  # Nor are alerts of one kind among those of another.
        answer = await world.office.call("GET", f"/spend_alerts/{world.objects[alert]}")
        assert answer.status_code == 404, alert


async def test_every_route_has_a_row() -> None:
    routes = _routes()

    assert {(row.method, row.path) for row in ROWS} == routes
    assert len({(row.method, row.path) for row in ROWS}) == len(ROWS)


async def test_without_v1_the_doors_are_the_same(world: World) -> None:
    for row in ROWS:
        if row.door != "public":
            path = NAME.sub("nothing", row.path.removeprefix("/v1"))
            answer = await world.office.http.request(row.method, path, headers={"Authorization": "Bearer sk-1"})
            assert answer.status_code == 401, (row.method, path)


@pytest.fixture
async def world(office: Office) -> World:
    """Two projects, with people, machines and keys, and what has become of some of them."""
    red = (await office.post("/projects", name="red"))["id"]
    users = {name: (await office.post("/users", name=name))["id"] for name in ("lin", "bo", "mei", "eve", "al")}
    key_a = await _key(office, red, users["lin"])
    account = await office.post(f"/projects/{red}/service_accounts", name="ci")
    objects = {
        "project_id": red,
        "other_project": (await office.post("/projects", name="blue"))["id"],
        "spare_project": (await office.post("/projects", name="grey"))["id"],
        "user_id": users["lin"],
        "other_user": users["bo"],
        "spare_user": users["mei"],
        "member": users["al"],
        "service_account_id": (await office.post(f"/projects/{red}/service_accounts", name="spare"))["id"],
        "api_key_id": (await _key(office, red, users["lin"]))["id"],
        "own_key": key_a["id"],
        "key_id": (await office.post("/admin_api_keys", name="spare"))["id"],
        "rate_limit_id": "rl-seedream-3.0",
        "model": "seedream-3.0",
        "month": "2026-01",
        "picture": _picture(),
        "price_id": (await office.post("/prices", model="imagen4", per_image_micros=1))["id"],
        "picture_id": f"{await _bought(office, key_a['value'], 'gpt-image-1')}_0",
        "spare_picture": f"{await _bought(office, key_a['value'], 'gpt-image-1')}_0",
        "unwanted_picture": f"{await _bought(office, key_a['value'], 'gpt-image-1')}_0",
        "request_id": await _bought(office, key_a["value"]),
    }
    invited = await invite(office.running.database, "ina@example.com")
    signed_in = await accept_invitation(office.running.database, invited.token, "a long password", "a browser")
    relay = await office.post("/relays", **RELAY | {"name": "second"})
    objects |= {"session_id": signed_in.id, "invite_id": invited.id, "relay": relay["name"]}
    await office.running.gateway.taking.take_all()
    await _thumbnail(office, objects["picture_id"])
    await office.post(f"/projects/{red}/users", user_id=users["al"], role="member")
    objects |= await _alerts(office, red) | await ask_for_images(office.running.database, users["al"])
    looks = await office.post(f"/projects/{red}/api_keys", user_id=users["lin"], scopes=["api.all.read"])
    working = {"read-only": looks["value"], "A": key_a["value"]}
    working |= {"B": (await _key(office, "proj_default", users["bo"]))["value"]}
    working |= {"service account": account["api_key"]["value"], "reader": await office.reader(), "owner": office.owner}
    return World(office, await _useless(office, red, users["eve"]) | working, objects)


async def _useless(office: Office, project: str, user: str) -> dict[str, str]:
    """Keys that never get in anywhere, by what is wrong with them."""
    keys = {name: await _key(office, project, user) for name in ("revoked", "expired")}
    admins = {name: await office.post("/admin_api_keys", name=name) for name in ("revoked admin", "expired admin")}
    await office.delete(f"/projects/{project}/api_keys/{keys['revoked']['id']}")
    await office.delete(f"/admin_api_keys/{admins['revoked admin']['id']}")
    async with office.running.database.write() as connection:
        for table, made in ((api_keys, keys["expired"]), (admin_api_keys, admins["expired admin"])):
            own = table.c.id == made["id"]
            await connection.execute(sa.update(table).where(own).values(expires_at_ms=1))
    leaver = await office.post("/users", name="somebody who left")
    left = await _key(office, project, leaver["id"])
    await office.delete(f"/users/{leaver['id']}")
    past = (await office.post("/projects", name="past"))["id"]
    archived = await office.post(f"/projects/{past}/service_accounts", name="ci")
    await office.post(f"/projects/{past}/archive")
    return {
        "nobody": "",
        "malformed": "sk-1",
        **{name: made["value"] for name, made in (keys | admins).items()},
        "of a deleted user": left["value"],
        "of an archived project": archived["api_key"]["value"],
    }


async def _alerts(office: Office, project: str) -> dict[str, str]:
    mail = {"type": "email", "recipients": ["a@example.com"]}
    given: dict[str, Any] = {
        "currency": "CNY",
        "interval": "month",
        "threshold_amount": 5,
        "notification_channel": mail,
    }
    ours = await office.post("/alerts", unit="images", threshold_amount=9, notification_channels=[mail])
    return {
        "alert": (await office.post("/spend_alerts", **given))["id"],
        "project_alert": (await office.post(f"/projects/{project}/spend_alerts", **given))["id"],
        "our_alert": ours["id"],
    }


async def _key(office: Office, project: str, user: str) -> Any:
    return await office.post(f"/projects/{project}/api_keys", user_id=user)


async def _bought(office: Office, key: str, model: str = "seedream-3.0") -> str:
    body = {"model": model, "prompt": "a lighthouse of A's"}
    answer = await office.http.post("/v1/images/generations", json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"]


async def _thumbnail(office: Office, picture: str) -> None:
    """Wait until a thumbnail is made."""
    async with asyncio.timeout(120):
        while (await office.call("GET", f"/pictures/{picture}/thumbnail")).status_code == 503:
            pass


def _picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _routes() -> set[tuple[str, str]]:
    """Method and path of each, mounted files left out."""
    return {
        (method, context.path or "")
        for context in iter_route_contexts(all_routes())
        for method in context.methods or ()
        if method != "HEAD"
    }
