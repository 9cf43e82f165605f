"""The keys of a project through the administration API, and what that does to their images."""

import pytest

from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


async def test_a_key_is_made_with_all_that_shall_hold_for_it(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    limits = [{"unit": "spend", "interval": "month", "amount": 8}, {"unit": "images", "interval": "day", "amount": 5}]

    key = await office.post(
        "/projects/proj_default/api_keys",
        user_id=lin["id"],
        name="laptop",
        expires_in_seconds=3600,
        models=["seedream-3.0"],
        limits=limits,
    )

    assert (key["name"], key["models"], key["redacted_value"]) == (
        "laptop",
        ["seedream-3.0"],
        f"sk-ig-...{key['value'][-11:-7]}",
    )
    assert await office.image(key["value"]) == 200
    assert await office.image(key["value"]) == 429  # 0.08 of 0.08 is spent.


async def test_a_key_with_a_limit_that_cannot_be_is_not_made_at_all(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    wrong = [{"unit": "spend", "interval": "minute", "amount": 8}]

    assert (await office.refused("POST", path, {"user_id": lin["id"], "limits": wrong}))[0] == 400
    assert (await office.get(path))["data"] == []


async def test_a_key_is_changed_and_deleted(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    key = await office.post(path, user_id=lin["id"], models=["seedream-3.0"])

    changed = await office.post(f"{path}/{key['id']}", expires_in_seconds=60, scopes=[], name="new", models=[])
    assert (changed["name"], changed["models"]) == ("new", None)
    assert changed["expires_at"] - key["created_at"] in range(59, 70)

    assert (await office.delete(f"{path}/{key['id']}"))["object"] == "organization.project.api_key.deleted"
    assert await office.comes_to(401, key["value"])
    assert (await office.refused("DELETE", f"{path}/{key['id']}"))[0] == 404
    assert (await office.get(path))["data"] == []


async def test_a_read_only_key_looks_and_buys_nothing_until_that_is_taken_back(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    key = await office.post(path, user_id=lin["id"])
    read_only = {"scopes": ["api.all.read"]}

    assert (await office.post(f"{path}/{key['id']}", **read_only))["scopes"] == ["api.all.read"]
    assert await office.comes_to(403, key["value"])
    headers = {"Authorization": f"Bearer {key['value']}"}
    assert (await office.http.get("/v1/key", headers=headers)).json()["models"] == []
    assert (await office.post(f"{path}/{key['id']}", scopes=[]))["scopes"] == []
    assert await office.comes_to(200, key["value"])

    account = await office.post("/projects/proj_default/service_accounts", name="ci")
    keys = f"/projects/proj_default/service_accounts/{account['id']}/api_keys"
    made = [await office.post(path, user_id=lin["id"], **read_only), await office.post(keys, **read_only)]
    assert [await office.image(each["value"]) for each in made] == [403, 403]


@pytest.mark.parametrize(
    ("scopes", "shown", "status"),
    [
        (None, [], 200),
        ([], [], 200),
        (["api.model.request"], [], 200),
        (["api.all.read", "model.request"], [], 200),
        (["api.model.images.request", "something.new"], [], 200),
        (["api.all.read"], ["api.all.read"], 403),
        (["something.new", "api.model.read", "API.MODEL.REQUEST"], ["api.all.read"], 403),
        ([""], ["api.all.read"], 403),
    ],
)
async def test_a_key_buys_images_only_by_a_scope_for_them_and_shows_what_it_may(
    office: Office, scopes: list[str] | None, shown: list[str], status: int
) -> None:
    account = await office.post("/projects/proj_default/service_accounts", name="ci")
    path = "/projects/proj_default/api_keys"

    of_account = await office.post(f"/projects/proj_default/service_accounts/{account['id']}/api_keys", scopes=scopes)
    of_project = await office.post(path, user_id=account["id"], scopes=scopes)
    changed = await office.post(f"{path}/{account['api_key']['id']}", scopes=scopes)

    assert [key["scopes"] for key in (of_account, of_project, changed)] == [shown] * 3
    assert [key["scopes"] for key in (await office.get(path))["data"]] == [shown] * 3
    assert [await office.image(key["value"]) for key in (of_account, of_project)] == [status] * 2


async def test_a_list_of_models_is_not_lost_to_read_only_unsaid(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    key = await office.post(path, user_id=lin["id"], models=["seedream-3.0"])
    read_only = {"scopes": ["api.all.read"]}

    assert await office.refused("POST", f"{path}/{key['id']}", read_only) == (409, "conflict", "scopes")
    both = {**read_only, "models": ["seedream-3.0"]}
    assert await office.refused("POST", f"{path}/{key['id']}", both) == (400, "invalid_value", "models")
    assert (await office.post(f"{path}/{key['id']}", scopes=[]))["models"] == ["seedream-3.0"]
    assert (await office.post(f"{path}/{key['id']}", **read_only, models=[]))["models"] == []


async def test_a_read_only_key_stays_so_when_its_own_fields_are_sent_back(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    key = await office.post(path, user_id=lin["id"], scopes=["api.all.read"])

    echoed = await office.post(f"{path}/{key['id']}", name="x", models=key["models"])
    assert (echoed["name"], echoed["models"], echoed["scopes"]) == ("x", [], ["api.all.read"])
    some = {"models": ["seedream-3.0"]}
    assert await office.refused("POST", f"{path}/{key['id']}", some) == (409, "conflict", "models")
    assert await office.image(key["value"]) == 403

    assert (await office.post(f"{path}/{key['id']}", scopes=[], **some))["models"] == ["seedream-3.0"]


async def test_while_a_rotation_is_under_way_both_secrets_work_and_share_one_limit(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    limit = [{"unit": "images", "interval": "day", "amount": 2}]
    key = await office.post(path, user_id=lin["id"], limits=limit)

    rotated = await office.post(f"{path}/{key['id']}/rotate", grace_period_seconds=600)

    assert rotated["id"] == key["id"] and rotated["value"] != key["value"]
    assert rotated["previous_value_expires_at"] is not None
    assert await office.comes_to(200, rotated["value"])
    assert await office.image(key["value"]) == 200
    assert [await office.image(each) for each in (key["value"], rotated["value"])] == [429, 429]


async def test_after_the_grace_period_only_the_new_secret_works(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    key = await office.post(path, user_id=lin["id"])

    leaked = await office.post(f"{path}/{key['id']}/rotate", grace_period_seconds=0)
    assert await office.comes_to(401, key["value"])
    assert await office.image(leaked["value"]) == 200
    second = await office.post(f"{path}/{key['id']}/rotate", leaked=True)
    third = await office.post(f"{path}/{key['id']}/rotate", grace_period_seconds=600)
    assert await office.comes_to(200, third["value"])

    made = (leaked, second, third)
    assert [await office.image(each["value"]) for each in made] == [401, 200, 200]
    for wrong in ({}, {"grace_period_seconds": -1}, {"leaked": True, "grace_period_seconds": 60}, {"leaked": False}):
        answer = await office.call("POST", f"{path}/{key['id']}/rotate", wrong)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "grace_period_seconds")
        assert "grace_period_seconds" in wrong or {"leaked=true", "grace_period_seconds=86400"} <= {
            *error["message"].split()
        }


async def test_a_moved_key_spends_from_its_new_project_and_the_past_stays_booked(office: Office) -> None:
    lin, mei = [(await office.post("/users", name=name))["id"] for name in ("lin", "mei")]
    red = (await office.post("/projects", name="red"))["id"]
    key = await office.post("/projects/proj_default/api_keys", user_id=lin)
    await office.post(
        "/limits", scope="project", scope_id="red", limits=[{"unit": "images", "interval": "day", "amount": 1}]
    )
    assert await office.image(key["value"]) == 200

    moved = await office.post(f"/projects/default/api_keys/{key['id']}/move", project_id="red", user_id="mei")

    assert (moved["project"]["id"], moved["owner"]["user"]["id"], moved["status"]) == (red, mei, "active")
    assert [await office.image(key["value"]) for _ in range(2)] == [200, 429]
    booked = (await office.get("/requests"))["data"]
    assert [(row["project"], row["user"]) for row in booked] == [("red", "mei"), ("default", "lin")]
    assert [each["id"] for each in (await office.get("/projects/red/users"))["data"]] == [mei]
    assert (await office.refused("POST", f"/projects/default/api_keys/{key['id']}/move", {"project_id": "red"}))[
        0
    ] == 404
    assert ("api_key.updated", key["id"]) in await office.events()


async def test_a_key_moves_only_where_its_owner_can_hold_one(office: Office) -> None:
    await office.post("/users", name="lin")
    await office.post("/projects", name="old")
    await office.post("/projects/old/archive")
    await office.post("/projects", name="red")
    robot = await office.post("/projects/proj_default/service_accounts", name="ci")
    key = await office.post("/projects/proj_default/api_keys", user_id="lin")
    path = f"/projects/proj_default/api_keys/{key['id']}/move"

    assert (await office.refused("POST", path, {}))[:2] == (400, "missing_required_parameter")
    assert (await office.refused("POST", path, {"project_id": "old"}))[:2] == (409, "conflict")
    assert (await office.refused("POST", path, {"project_id": "nowhere"}))[:2] == (404, "not_found")
    assert (await office.refused("POST", path, {"project_id": "red", "user_id": robot["id"]}))[:2] == (409, "conflict")
    assert (await office.post(path, user_id=robot["id"]))["owner"]["service_account"]["name"] == "ci"
    await office.delete(f"/projects/proj_default/api_keys/{key['id']}")
    assert (await office.refused("POST", path, {"project_id": "red"}))[0] == 404


async def test_nothing_that_is_shown_later_has_a_secret_in_it(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])
    account = await office.post("/projects/proj_default/service_accounts", name="ci")
    rotated = await office.post(f"/projects/proj_default/api_keys/{key['id']}/rotate", leaked=True)
    admin = await office.post("/admin_api_keys", name="second")
    secrets = [key["value"], account["api_key"]["value"], rotated["value"], admin["value"], office.owner]

    for path in ("/projects/proj_default/api_keys", "/admin_api_keys", "/audit_logs"):
        text = (await office.call("GET", path)).text
        assert not any(secret[:40] in text for secret in secrets), path
