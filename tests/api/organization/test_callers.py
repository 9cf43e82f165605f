"""Who may call the administration API, and with what kind of body."""

from tests.api.organization.conftest import ROOT, Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


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
    for path in ("/certificates", "/groups", "/roles", "/data_retention", "/projects/proj_default/groups"):
        status, code, _ = await office.refused("GET", path)
        assert (status, code) == (404, "unknown_url"), path


async def test_it_is_also_there_without_v1(office: Office) -> None:
    answer = await office.http.get("/organization/projects", headers={"Authorization": f"Bearer {office.owner}"})

    assert [project["id"] for project in answer.json()["data"]] == ["proj_default"]
