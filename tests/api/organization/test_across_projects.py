"""Keys and service accounts of all projects at once."""

from tests.api.organization.conftest import Office


async def test_keys_of_all_projects_are_listed_newest_first_with_revoked_ones(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    red = await office.post("/projects", name="red")
    first = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])
    second = await office.post(f"/projects/{red['id']}/api_keys", user_id=lin["id"], models=["seedream-3.0"])
    await office.delete(f"/projects/proj_default/api_keys/{first['id']}")

    listed = (await office.get("/api_keys"))["data"]

    assert [(key["id"], key["status"], key["project"]) for key in listed] == [
        (second["id"], "active", {"id": red["id"], "name": "red"}),
        (first["id"], "revoked", {"id": "proj_default", "name": "default"}),
    ]
    assert [key["revoked_at"] is None for key in listed] == [True, False]
    assert {name: listed[0][name] for name in second if name != "value"} == {
        name: value for name, value in second.items() if name != "value"
    }
    assert not any("value" in key for key in listed)


async def test_a_key_is_found_without_its_project(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])

    assert (await office.get(f"/api_keys/{key['id']}"))["status"] == "active"
    assert (await office.refused("GET", "/api_keys/key_x"))[:2] == (404, "not_found")
    assert (await office.refused("GET", f"/api_keys/{key['value']}"))[:2] == (404, "not_found")


async def test_service_accounts_are_listed_with_their_project(office: Office) -> None:
    red = await office.post("/projects", name="red")
    for name, project in (("ci", "proj_default"), ("press", red["id"])):
        await office.post(f"/projects/{project}/service_accounts", name=name)

    every = (await office.get("/service_accounts"))["data"]

    assert [(each["name"], each["project_id"]) for each in every] == [("ci", "proj_default"), ("press", red["id"])]
    assert (await office.get("/service_accounts", project="red"))["data"] == every[1:]
    assert await office.refused("GET", "/service_accounts", project="blue") == (404, "not_found", "project")


async def test_both_lists_are_read_piece_by_piece(office: Office) -> None:
    for name in ("a", "b", "c"):
        await office.post("/projects/proj_default/service_accounts", name=name)

    for path in ("/api_keys", "/service_accounts"):
        whole = await office.get(path)
        first = await office.get(path, limit=2)
        rest = await office.get(path, limit=2, after=first["last_id"])
        assert first["data"] + rest["data"] == whole["data"] and len(first["data"]) == 2
        assert [each["has_more"] for each in (whole, first, rest)] == [False, True, False]
        assert await office.refused("GET", path, after="nothing") == (400, "invalid_value", "after")
        assert (await office.refused("GET", path, limit=101))[0] == 400


async def test_keys_made_meanwhile_neither_hide_one_nor_show_one_twice(office: Office) -> None:
    path = "/projects/proj_default/api_keys"
    lin = await office.post("/users", name="lin")
    made = [(await office.post(path, user_id=lin["id"]))["id"] for _ in range(4)]

    first = await office.get("/api_keys", limit=2)
    await office.post(path, user_id=lin["id"])
    await office.delete(f"{path}/{first['last_id']}")
    rest = await office.get("/api_keys", limit=2, after=first["last_id"])

    assert [each["id"] for each in first["data"] + rest["data"]] == made[::-1]
    assert rest["has_more"] is False
