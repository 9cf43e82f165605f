"""Which models a project may use."""

from collections.abc import Mapping

from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


PATH = "/projects/proj_default/model_permissions"


async def models_of(office: Office, key: str) -> set[str]:
    answer = await office.http.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
    return {model["id"] for model in answer.json()["data"]}


async def test_a_project_without_permissions_denies_nothing(office: Office) -> None:
    assert await office.get(PATH) == {"object": "project.model_permissions", "mode": "deny_list", "model_ids": []}
    assert await office.delete(PATH) == {"object": "project.model_permissions.deleted", "deleted": False}


async def test_an_allow_list_holds_for_buying_and_for_the_list_of_models(office: Office) -> None:
    key = (await office.running.key()).key
    assert await office.image(key) == 200

    allowed = await office.post(PATH, mode="allow_list", model_ids=["gpt-image-1", "gpt-image-1"])
    office.running.gateway.control_data.expire()

    assert allowed == {"object": "project.model_permissions", "mode": "allow_list", "model_ids": ["gpt-image-1"]}
    assert await office.get(PATH) == allowed
    assert await office.image(key) == 403
    assert await models_of(office, key) == {"gpt-image-1", "dall-e-2", "dall-e-3"}, (
        "with the aliases of the allowed one"
    )


async def test_a_purchase_under_way_to_its_reservation_meets_the_new_permissions(office: Office) -> None:
    """The control data a request began with is compared once more when it is reserved."""
    key = (await office.running.key()).key
    assert await office.image(key) == 200
    await office.post(PATH, mode="deny_list", model_ids=["seedream-3.0"])

    assert await office.image(key) == 403, "even from control data that is half a second old"

    body = {"model": "seedream-3.0", "prompt": "x"}
    refused = await office.http.post("/v1/images/generations", json=body, headers={"Authorization": f"Bearer {key}"})
    assert refused.json()["error"]["code"] == "model_not_allowed"
    assert "gpt-image-1" in refused.json()["error"]["message"]
    assert [row["state"] for row in await office.running.rows()] == ["settled"]


async def test_what_key_and_project_both_allow_is_allowed(office: Office) -> None:
    key = (await office.running.key(models=("seedream-3.0", "gpt-image-1"))).key
    await office.post(PATH, mode="deny_list", model_ids=["gpt-image-1"])

    assert await models_of(office, key) == {"seedream-3.0"}


async def test_permissions_of_one_project_are_not_those_of_another(office: Office) -> None:
    web = await office.post("/projects", name="web")
    key = (await office.running.key(project="web")).key
    await office.post(PATH, mode="allow_list", model_ids=[])
    assert await office.image(key) == 200

    await office.post(f"/projects/{web['id']}/model_permissions", mode="allow_list", model_ids=[])
    office.running.gateway.control_data.expire()

    assert await office.image(key) == 403
    assert await models_of(office, key) == set()


async def test_taking_them_away_allows_every_model_again(office: Office) -> None:
    key = (await office.running.key()).key
    await office.post(PATH, mode="allow_list", model_ids=[])
    assert await office.delete(PATH) == {"object": "project.model_permissions.deleted", "deleted": True}

    assert await office.image(key) == 200


async def test_changes_are_logged_and_what_changes_nothing_is_not(office: Office) -> None:
    for _ in range(2):
        await office.post(PATH, mode="allow_list", model_ids=["gpt-image-1"])
    for _ in range(2):
        await office.delete(PATH)

    found = [event for event in await office.events() if event[0].startswith("model_permissions")]

    assert found == [("model_permissions.updated", "proj_default"), ("model_permissions.deleted", "proj_default")]


async def test_what_cannot_be_is_refused(office: Office) -> None:
    async def refused(body: Mapping[str, object], path: str = PATH) -> tuple[int, str, str | None]:
        return await office.refused("POST", path, body)

    good = {"mode": "allow_list", "model_ids": ["gpt-image-1"]}
    assert await refused(good | {"model_ids": ["nope"]}) == (400, "invalid_value", "model_ids")
    assert await refused(good | {"mode": "maybe"}) == (400, "invalid_value", "mode")
    assert await refused({"mode": "allow_list"}) == (400, "missing_required_parameter", "model_ids")
    assert await refused(good | {"models": []}) == (400, "unknown_parameter", "models")
    assert await refused(good, "/projects/proj_none/model_permissions") == (404, "not_found", "project")
    web = await office.post("/projects", name="web")
    await office.post(f"/projects/{web['id']}/archive")
    assert (await refused(good, f"/projects/{web['id']}/model_permissions"))[0] == 409
