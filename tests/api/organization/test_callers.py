"""Who may call the administration API, and with what kind of body."""

import re

import sqlalchemy as sa
from fastapi import FastAPI

from app.api.organization import organization_router
from app.store.tables import admin_api_keys
from tests.api.organization.conftest import ROOT, Office


async def test_only_an_admin_key_opens_it(office: Office) -> None:
    api_key = (await office.running.key("lin")).key

    for wrong in ("", api_key, "sk-1", office.owner[:-1] + "x", f"{office.owner}-"):
        answer = await office.call("GET", "/projects", key=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert answer.headers["x-should-retry"] == "false"


async def test_an_admin_key_buys_nothing(office: Office) -> None:
    assert await office.image(office.owner) == 401
    answer = await office.http.get("/v1/models", headers={"Authorization": f"Bearer {office.owner}"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_reader_sees_everything_and_changes_nothing(office: Office) -> None:
    reader = await office.reader()

    assert (await office.call("GET", "/users", key=reader)).status_code == 200
    for method, path in (
        ("POST", "/users"),
        ("POST", "/projects/proj_default"),
        ("POST", "/admin_api_keys"),
        ("DELETE", f"/admin_api_keys/{office.owner_id}"),
        ("POST", "/projects/proj_default/archive"),
    ):
        answer = await office.call(method, path, {} if method == "POST" else None, key=reader)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied"), path


async def test_every_route_is_closed_to_whoever_it_is_not_for(office: Office) -> None:
    """Each of them, with something in every place of its path: who calls is asked before what is called for."""
    keys = await _keys(office)
    expected = dict.fromkeys(keys, 401) | {"reader": 403}

    wrong = []
    for method, path in _routes():
        for name, key in keys.items():
            if name == "reader" and method == "GET":
                continue
            answer = await office.call(method, path, {} if method == "POST" else None, key=key)
            if answer.status_code != expected[name]:
                wrong.append((method, path, name, answer.status_code))

    assert wrong == []


async def test_an_owner_gets_through_to_every_route(office: Office) -> None:
    for method, path in _routes():
        answer = await office.call(method, path, {} if method in ("POST", "PUT") else None)
        assert answer.status_code in (200, 400, 404, 409, 415, 424, 502, 503), (method, path, answer.text)


def _routes() -> list[tuple[str, str]]:
    """Method and path of each, `nothing` in every place of it."""
    api = FastAPI()
    api.include_router(organization_router())
    paths = api.openapi()["paths"]
    found = [
        (method.upper(), re.sub(r"{[^}]+}", "nothing", path)) for path, methods in paths.items() for method in methods
    ]
    assert len(found) > 30
    return [(method, path.removeprefix("/organization")) for method, path in found]


async def _keys(office: Office) -> dict[str, str]:
    lin = await office.post("/users", name="lin")
    api_key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])
    account = await office.post("/projects/proj_default/service_accounts", name="ci")
    revoked = await office.post("/admin_api_keys", name="gone")
    expired = await office.post("/admin_api_keys", name="short", expires_in_seconds=60)
    await office.delete(f"/admin_api_keys/{revoked['id']}")
    async with office.running.database.write() as connection:
        own = admin_api_keys.c.id == expired["id"]
        await connection.execute(sa.update(admin_api_keys).where(own).values(expires_at_ms=1))
    return {
        "nobody": "",
        "an API key": api_key["value"],
        "a service account": account["api_key"]["value"],
        "revoked": revoked["value"],
        "expired": expired["value"],
        "reader": await office.reader(),
    }


async def test_an_admin_key_goes_with_its_user(office: Office) -> None:
    lin = await office.post("/users", name="lin", email="lin@example.com", role="owner")
    key = await office.post("/admin_api_keys", name="lin's", user_id=lin["id"])
    assert key["owner"]["name"] == "lin"

    await office.post(f"/users/{lin['id']}", disabled=True)

    assert (await office.call("GET", "/users", key=key["value"])).status_code == 401


async def test_a_field_that_is_not_one_is_refused(office: Office) -> None:
    for fields in ({"name": "red", "id": "proj_mine"}, {"name": "red", "archived_at": 1}):
        status, code, param = await office.refused("POST", "/projects", fields)
        assert (status, code) == (400, "unknown_parameter") and param in fields

    assert await office.refused("POST", "/projects", {}) == (400, "missing_required_parameter", "name")
    assert await office.refused("POST", "/projects", {"name": 7}) == (400, "invalid_type", "name")
    assert await office.refused("POST", "/projects", {"name": "red", "geography": "EU"}) == (
        400,
        "invalid_value",
        "geography",
    )
    assert await office.refused("POST", "/admin_api_keys", {"name": "a", "expires_in_seconds": "60"}) == (
        400,
        "invalid_type",
        "expires_in_seconds",
    )


async def test_a_body_is_json_and_read_once(office: Office) -> None:
    headers = {"Authorization": f"Bearer {office.owner}", "Content-Type": "application/json"}

    twice = await office.http.post(f"{ROOT}/projects", content=b'{"name": "a", "name": "b"}', headers=headers)
    broken = await office.http.post(f"{ROOT}/projects", content=b'{"name": ', headers=headers)
    form = await office.http.post(f"{ROOT}/projects", data={"name": "a"}, headers={**headers, "Content-Type": "a/b"})

    assert [each.json()["error"]["code"] for each in (twice, broken)] == ["duplicate_key", "invalid_json"]
    assert form.status_code == 415


async def test_what_openai_has_and_we_lack_is_an_unknown_url(office: Office) -> None:
    for path in ("/invites", "/certificates", "/groups", "/roles", "/data_retention", "/projects/proj_default/groups"):
        status, code, _ = await office.refused("GET", path)
        assert (status, code) == (404, "unknown_url"), path


async def test_it_is_also_there_without_v1(office: Office) -> None:
    answer = await office.http.get("/organization/projects", headers={"Authorization": f"Bearer {office.owner}"})

    assert [project["id"] for project in answer.json()["data"]] == ["proj_default"]
