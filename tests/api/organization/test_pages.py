"""Lists go on where they left off."""

import pytest

from tests.api.organization.conftest import Office


async def test_a_list_is_read_page_by_page_and_nothing_is_missed_or_twice(office: Office) -> None:
    made = [(await office.post("/projects", name=f"p{number}"))["id"] for number in range(5)]

    first = await office.get("/projects", limit=4)
    await office.post(f"/projects/{first['last_id']}/archive")
    rest = await office.get("/projects", limit=4, after=first["last_id"])

    assert [each["id"] for each in first["data"] + rest["data"]] == ["proj_default", *made]
    assert (first["object"], first["has_more"], rest["has_more"]) == ("list", True, False)
    assert (rest["first_id"], rest["last_id"]) == (made[3], made[4])


async def test_an_empty_list_has_no_ids(office: Office) -> None:
    assert await office.get("/users") == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_limit_of_zero_is_the_default(office: Office) -> None:
    """As clients write what was never set; the SDK's own tests send it to every list."""
    for number in range(20):
        await office.post("/projects", name=f"p{number}")
    project = "/projects/proj_default"
    of_project = [
        f"{project}/{name}" for name in ("users", "service_accounts", "api_keys", "rate_limits", "spend_alerts")
    ]

    for path in (
        "/admin_api_keys",
        "/users",
        "/projects",
        *of_project,
        "/spend_alerts",
        "/alerts",
        "/prices",
        "/audit_logs",
    ):
        assert await office.get(path, limit=0) == await office.get(path), path
    assert len((await office.get("/projects", limit=0))["data"]) == 20


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("query", [{"limit": -1}, {"limit": 101}, {"limit": "x"}, {"after": "proj_nothing"}])
async def test_a_wrong_page_is_refused(office: Office, query: dict[str, str]) -> None:
    status, _, param = await office.refused("GET", "/projects", **query)

    assert (status, param) == (400, next(iter(query)))


async def test_admin_keys_come_in_either_order(office: Office) -> None:
    ids = [office.owner_id] + [(await office.post("/admin_api_keys", name=f"k{n}"))["id"] for n in range(3)]

    falling = await office.get("/admin_api_keys", order="desc", limit=3)
    last = await office.get("/admin_api_keys", order="desc", limit=3, after=falling["last_id"])

    assert [each["id"] for each in falling["data"] + last["data"]] == ids[::-1]


async def test_the_log_goes_forwards_and_backwards(office: Office) -> None:
    for number in range(5):
        await office.post("/projects", name=f"p{number}")
    every = [each["id"] for each in (await office.get("/audit_logs", **{"event_types[]": "project.created"}))["data"]]

    older = await office.get("/audit_logs", after=every[1], limit=2, event_types="project.created")
    newer = await office.get("/audit_logs", before=every[3], limit=2, event_types="project.created")

    assert [each["id"] for each in older["data"]] == every[2:4]
    assert [each["id"] for each in newer["data"]] == every[1:3]
    assert (older["has_more"], newer["has_more"]) == (True, True)
