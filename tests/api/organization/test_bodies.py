"""Fields of OpenAI's that do nothing here: taken, and named in the answer."""

from typing import Any

import pytest

from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


HEADER = "x-imagegate-ignored"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"geography": "eu", "name": "red", "external_key_id": "ek_1"}, "geography, external_key_id"),
        ({"external_key_id": "ek_1", "residency": "GLOBAL", "name": "red"}, "external_key_id, residency"),
        ({"name": "red", "geography": None, "residency": None, "external_key_id": None}, None),
        ({"name": "red"}, None),
    ],
)
async def test_what_does_nothing_is_named_in_the_order_it_was_sent(
    office: Office, fields: dict[str, Any], named: str | None
) -> None:
    made = await office.call("POST", "/projects", fields)

    assert (made.status_code, made.headers.get(HEADER)) == (200, named)
    shown = made.json()
    assert (shown["name"], shown["external_key_id"], shown["residency"]) == ("red", None, None)


async def test_a_change_is_made_beside_what_does_nothing(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    red = await office.post("/projects", name="red")

    user = {"role": "owner", "technical_level": "high", "role_id": "role_1", "developer_persona": "artist"}
    modified = await office.call("POST", f"/users/{lin['id']}", user)
    renamed = await office.call("POST", f"/projects/{red['id']}", {"geography": "eu", "name": "rose"})

    assert modified.headers[HEADER] == "technical_level, role_id, developer_persona"
    assert modified.json()["role"] == "owner"
    assert (renamed.headers[HEADER], renamed.json()["name"]) == ("geography", "rose")


async def test_no_region_is_promised(office: Office) -> None:
    values: tuple[Any, ...] = ("EU_STORAGE_PROCESSING", "JP_STORAGE", "global", "", 1, {})
    for residency in values:
        body = {"name": "red", "residency": residency}
        assert await office.refused("POST", "/projects", body) == (400, "invalid_value", "residency")

    assert [each["name"] for each in (await office.get("/projects"))["data"]] == ["default"]


async def test_only_known_fields_do_nothing_and_only_as_text(office: Office) -> None:
    assert await office.refused("POST", "/projects", {"name": "red", "geographie": "eu"}) == (
        400,
        "unknown_parameter",
        "geographie",
    )
    assert await office.refused("POST", "/projects", {"name": "red", "geography": 1}) == (
        400,
        "invalid_type",
        "geography",
    )


async def test_the_documentation_tells_which_answers_name_something(office: Office) -> None:
    paths = (await office.http.get("/openapi.json")).json()["paths"]

    answers = {
        path.removeprefix("/v1/organization")
        for path, methods in paths.items()
        if HEADER in methods.get("post", {}).get("responses", {}).get("200", {}).get("headers", {})
    }
    assert answers == {"/projects", "/projects/{project_id}", "/users/{user_id}"}
