"""What a client must know of a gateway to show its data."""

from app import __version__
from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


async def test_it_tells_version_currency_and_timezone(office: Office) -> None:
    assert await office.get("/installation") == {
        "object": "installation",
        "version": __version__,
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "sandbox": False,
    }


async def test_the_catalog_is_listed_whole_and_with_what_a_project_may_use(office: Office) -> None:
    await office.post("/projects", name="red")
    await office.post("/projects/red/model_permissions", mode="allow_list", model_ids=["seedream-3.0"])

    every = (await office.get("/models"))["data"]
    of_red = (await office.get("/models", project="red"))["data"]

    assert {model["allowed"] for model in every} == {None}
    assert [model["id"] for model in of_red if model["allowed"]] == ["seedream-3.0"]
    assert {model["id"]: model["priced"] for model in every}["imagen4"] is False
    assert [model["id"] for model in every] == [model["id"] for model in of_red]
    assert "generation" in every[0]["operations"]
    assert await office.refused("GET", "/models", project="blue") == (404, "not_found", "project")
