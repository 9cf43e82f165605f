"""Users, projects and service accounts through the administration API, and what that does to their images."""

from app.control import usage
from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


async def test_a_user_is_made_shown_changed_and_deleted(office: Office) -> None:
    lin = await office.post("/users", name="lin", email="lin@example.com")
    assert (lin["object"], lin["role"], lin["user"]["enabled"]) == ("organization.user", "reader", True)

    changed = await office.post(f"/users/{lin['id']}", role="owner", name="linus")
    assert (changed["role"], changed["name"], changed["email"]) == ("owner", "linus", "lin@example.com")
    assert [each["id"] for each in (await office.get("/users", **{"emails[]": "LIN@example.com"}))["data"]] == [
        lin["id"]
    ]
    assert (await office.get("/users", emails="bo@example.com"))["data"] == []

    assert await office.delete(f"/users/{lin['id']}") == {
        "object": "organization.user.deleted",
        "id": lin["id"],
        "deleted": True,
    }
    assert (await office.refused("GET", f"/users/{lin['id']}"))[:2] == (404, "not_found")
    assert (await office.refused("DELETE", f"/users/{lin['id']}"))[:2] == (404, "not_found")


async def test_a_deleted_user_buys_nothing_within_a_second_and_stays_in_the_reports(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"], name="laptop")
    assert await office.image(key["value"]) == 200

    await office.delete(f"/users/{lin['id']}")

    assert await office.comes_to(401, key["value"])
    again = await office.post("/users", name="lin")
    assert again["id"] != lin["id"]
    report = await usage.report(office.running.database, ["user", "key"])
    assert [row.names for row in report.rows] == [(("lin", lin["id"]), ("laptop", key["id"]))]


async def test_of_two_users_of_a_name_only_the_living_one_is_meant_by_it(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    assert (await office.refused("POST", "/users", {"name": "lin"}))[:2] == (409, "conflict")
    await office.delete(f"/users/{lin['id']}")
    again = await office.post("/users", name="lin")

    assert (await office.post("/projects/proj_default/users", user_id="lin", role="member"))["id"] == again["id"]


async def test_a_project_is_made_renamed_and_archived(office: Office) -> None:
    red = await office.post("/projects", name="red")
    assert (red["object"], red["status"], red["archived_at"]) == ("organization.project", "active", None)
    assert (await office.post(f"/projects/{red['id']}", name="crimson"))["name"] == "crimson"
    assert (await office.post(f"/projects/{red['id']}"))["name"] == "crimson"

    archived = await office.post(f"/projects/{red['id']}/archive")

    assert archived["status"] == "archived" and archived["archived_at"] >= red["created_at"]
    assert await office.post(f"/projects/{red['id']}/archive") == archived
    assert [each["name"] for each in (await office.get("/projects"))["data"]] == ["default"]
    assert len((await office.get("/projects", include_archived="true"))["data"]) == 2
    assert (await office.refused("POST", f"/projects/{red['id']}", {"name": "rose"}))[:2] == (409, "conflict")
    assert (await office.refused("POST", f"/projects/{red['id']}/service_accounts", {"name": "ci"}))[0] == 409
    assert (await office.refused("POST", "/projects/proj_default/archive"))[:2] == (409, "conflict")


async def test_a_user_who_leaves_a_project_buys_nothing_there_and_again_after_coming_back(office: Office) -> None:
    red = await office.post("/projects", name="red")
    lin = await office.post("/users", name="lin", email="lin@example.com")
    path = f"/projects/{red['id']}/users"
    assert (await office.post(path, email="lin@example.com", role="owner"))["role"] == "owner"
    key = await office.post(f"/projects/{red['id']}/api_keys", user_id=lin["id"])
    assert (key["owner_project_access"], key["owner"]["user"]["role"]) == ("active", "owner")
    assert (await office.get(f"/users/{lin['id']}"))["projects"]["data"] == [
        {"id": red["id"], "name": "red", "role": "owner"}
    ]

    await office.delete(f"{path}/{lin['id']}")

    assert await office.comes_to(401, key["value"])
    assert (await office.refused("GET", f"{path}/{lin['id']}"))[0] == 404
    keys = f"/projects/{red['id']}/api_keys"
    assert (await office.get(keys, owner_project_access="active"))["data"] == []
    assert [each["id"] for each in (await office.get(keys, owner_project_access="inactive"))["data"]] == [key["id"]]
    added = await office.post(path, user_id=lin["id"], role="member")
    assert (await office.post(f"{path}/{lin['id']}", role="owner"))["role"] == "owner"
    assert added["role"] == "member"
    assert await office.comes_to(200, key["value"])


async def test_who_joins_a_project_is_named_in_one_way(office: Office) -> None:
    path = "/projects/proj_default/users"
    assert await office.refused("POST", path, {"role": "member"}) == (400, "invalid_value", "user_id")
    lin = await office.post("/users", name="lin", email="lin@example.com")
    await office.post("/users", name="bo", email="bo@example.com")
    both = {"role": "member", "user_id": lin["id"], "email": "bo@example.com"}
    assert await office.refused("POST", path, both) == (400, "invalid_value", "email")
    assert (await office.get(path))["data"] == []
    assert (await office.post(path, **{**both, "email": "Lin@example.com"}))["id"] == lin["id"]
    assert (await office.refused("POST", "/projects/proj_none/users", {"role": "member", "user_id": lin["id"]}))[
        0
    ] == 404


async def test_who_joins_a_project_unnamed_is_whose_admin_key_it_is(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    own = (await office.post("/admin_api_keys", name="lin's", user_id=lin["id"]))["value"]

    joined = await office.call("POST", "/projects/proj_default/users", {"role": "member"}, key=own)

    assert joined.json()["id"] == lin["id"]


async def test_a_role_of_ones_own_is_kept_as_it_came_and_grants_nothing(office: Office) -> None:
    lin = await office.post("/users", name="lin", role="finance")
    path = "/projects/proj_default/users"

    assert (await office.post(path, user_id=lin["id"], role="Art director"))["role"] == "Art director"
    assert (await office.post(f"{path}/{lin['id']}", role="reader"))["role"] == "reader"
    assert (await office.post(f"/users/{lin['id']}", role="King"))["role"] == "King"
    assert (await office.get(f"/users/{lin['id']}"))["projects"]["data"][0]["role"] == "reader"
    key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])
    assert key["owner"]["user"]["role"] == "reader"
    assert (await office.call("GET", "/projects", key=key["value"])).status_code == 401
    looks = await office.post("/admin_api_keys", name="lin's", user_id=lin["id"], role="reader")
    assert (await office.call("POST", "/projects", {"name": "red"}, key=looks["value"])).status_code == 403


async def test_a_role_that_cannot_be_is_refused(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    ci = await office.post("/projects/proj_default/service_accounts", name="ci")
    users, own = "/projects/proj_default/users", {"user_id": lin["id"]}
    account = f"/projects/proj_default/service_accounts/{ci['id']}"

    for path, fields, roles in (
        ("/admin_api_keys", {"name": "a"}, ("Owner", "owner ", "member", "king", "")),
        (users, own, ("none", "", "a\nb", "x" * 65)),
        (f"/users/{lin['id']}", {}, ("", "a\tb")),
        (account, {}, ("none", "reader", "king")),
    ):
        for role in roles:
            assert await office.refused("POST", path, {**fields, "role": role}) == (400, "invalid_value", "role"), role
    assert (await office.get(users))["data"] == []
    assert (await office.get(account))["role"] == "member"


async def test_a_service_account_buys_with_its_key_until_it_is_deleted(office: Office) -> None:
    path = "/projects/proj_default/service_accounts"
    made = await office.post(path, name="ci", expires_in_seconds=3600)
    key = made["api_key"]
    assert (made["role"], key["object"]) == ("member", "organization.project.service_account.api_key")
    assert key["expires_at"] == key["created_at"] + 3600
    assert await office.image(key["value"]) == 200
    row = (await office.running.rows())[0]
    assert (row["user_id"], row["project_id"]) == (made["id"], "proj_default")

    shown = await office.get(f"/projects/proj_default/api_keys/{key['id']}")
    assert (shown["owner"]["type"], shown["owner"]["service_account"]["name"]) == ("service_account", "ci")
    assert shown["last_used_at"] is not None and "value" not in shown
    second = await office.post(f"{path}/{made['id']}/api_keys", name="other")
    assert await office.image(second["value"]) == 200
    assert (await office.post(f"{path}/{made['id']}", name="builder", role="owner"))["role"] == "owner"
    assert [each["name"] for each in (await office.get(path))["data"]] == ["builder"]

    await office.delete(f"{path}/{made['id']}")

    assert await office.comes_to(401, key["value"])
    assert await office.image(second["value"]) == 401
    assert (await office.get(path))["data"] == []
    assert (await office.get("/projects/proj_default/api_keys"))["data"] == []


async def test_a_service_account_made_alone_has_no_key_and_its_keys_do_not_work_without_a_role(office: Office) -> None:
    path = "/projects/proj_default/service_accounts"
    made = await office.post(path, name="ci", create_service_account_only=True)
    assert (made["role"], made["api_key"]) == ("none", None)
    key = await office.post(f"{path}/{made['id']}/api_keys")
    assert await office.image(key["value"]) == 401

    await office.post(f"{path}/{made['id']}", role="member")
    assert await office.comes_to(200, key["value"])


async def test_a_service_account_is_no_person_and_belongs_to_its_project(office: Office) -> None:
    made = await office.post("/projects/proj_default/service_accounts", name="ci")
    red = await office.post("/projects", name="red")

    assert (await office.get("/users"))["data"] == []
    for method, path in (
        ("GET", f"/users/{made['id']}"),
        ("DELETE", f"/users/{made['id']}"),
        ("GET", f"/projects/{red['id']}/service_accounts/{made['id']}"),
        ("DELETE", f"/projects/{red['id']}/service_accounts/{made['id']}"),
        ("GET", f"/projects/{red['id']}/api_keys/{made['api_key']['id']}"),
        ("DELETE", f"/projects/{red['id']}/api_keys/{made['api_key']['id']}"),
        ("POST", f"/projects/{red['id']}/api_keys/{made['api_key']['id']}/rotate"),
    ):
        assert (await office.refused(method, path, {} if method == "POST" else None))[:2] == (404, "not_found"), path
    joining = {"user_id": made["id"], "role": "member"}
    assert (await office.refused("POST", f"/projects/{red['id']}/users", joining))[:2] == (409, "conflict")
    assert (await office.refused("POST", f"/projects/{red['id']}/api_keys", {"user_id": made["id"]}))[0] == 409
    assert (await office.post(f"/projects/{red['id']}/service_accounts", name="ci"))["name"] == "ci"
    assert (await office.refused("POST", f"/projects/{red['id']}/service_accounts", {"name": "ci"}))[0] == 409


async def test_a_service_account_is_disabled_like_a_person_and_otherwise_not_among_them(office: Office) -> None:
    account = await office.post("/projects/proj_default/service_accounts", name="ci")
    path, value = f"/users/{account['id']}", account["api_key"]["value"]

    assert (await office.post(path, disabled=True))["is_service_account"] is True
    assert await office.comes_to(401, value)
    [change] = (await office.get("/audit_logs", **{"event_types[]": "service_account.updated"}))["data"]
    assert change["service_account.updated"]["changes_requested"] == {"disabled": True}
    assert (await office.post(path, disabled=False))["disabled"] is False

    for fields in ({}, {"role": "owner"}, {"disabled": True, "name": "robot"}):
        assert (await office.refused("POST", path, fields))[:2] == (404, "not_found")
    assert (await office.refused("GET", path))[0] == 404
