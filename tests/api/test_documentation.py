"""The API's own documentation: whole, and shown without anything from elsewhere."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox
from tests.gateways import Running, running_gateway

PUBLIC = {"/", "/healthz", "/readyz"}
SIGNED = {f"/v1/images/pictures/{{picture_id}}/{part}" for part in ("content", "thumbnail")}
"""A signed link is the permission; no key is needed."""
OWNERS = {f"/v1/organization/pictures/{{picture_id}}/{part}" for part in ("content", "thumbnail")}
"""Read by owners only."""
KEYLESS_REFUSALS = {"401", "429", "503"}


@pytest.fixture
async def served(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[tuple[Running, httpx2.AsyncClient]]:
    async with (
        running_gateway(tmp_path, relay.base_url, guard_bad_keys_per_minute=10_000) as running,
        httpx2.AsyncClient(base_url=running.url, verify=False, timeout=30) as http,
    ):
        yield running, http


async def operations(http: httpx2.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    document = (await http.get("/openapi.json")).json()
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_the_document_is_sent_once_to_a_client_that_remembers_it(
    served: tuple[Running, httpx2.AsyncClient],
) -> None:
    first = await served[1].get("/openapi.json")

    again = await served[1].get("/openapi.json", headers={"If-None-Match": f"W/{first.headers['etag']}"})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_the_document_is_made_once(
    served: tuple[Running, httpx2.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await served[1].get("/openapi.json")
    for maker in ("get_openapi", "blake3"):
        monkeypatch.setattr(f"app.api.documentation.{maker}", None)

    again = await served[1].get("/openapi.json")

    assert (again.status_code, again.content) == (200, first.content)


async def test_every_operation_is_described_and_says_who_may_call_it_and_how_it_refuses(
    served: tuple[Running, httpx2.AsyncClient],
) -> None:
    found = await operations(served[1])

    assert len(found) > 40
    for method, path, operation in found:
        where = f"{method} {path}"
        answers = operation["responses"]
        assert operation["summary"] and operation["description"], where
        assert "422" not in answers and "200" in answers, where
        assert ("security" in operation) is (path not in PUBLIC), where
        if path not in PUBLIC | SIGNED:
            assert answers.keys() >= KEYLESS_REFUSALS - {"429"}, where
        if path.startswith("/v1/organization"):
            assert operation["security"] == [{"adminApiKey": []}], where
            assert answers.keys() >= KEYLESS_REFUSALS, where
            assert ("403" in answers) is (method != "get" or path in OWNERS), where
        if path.startswith("/v1/images/pictures/{") and method != "get":
            assert "403" in answers, where
        if "{" in path:
            assert "404" in answers, where


async def test_every_refusal_has_the_shape_and_an_example(served: tuple[Running, httpx2.AsyncClient]) -> None:
    for method, path, operation in await operations(served[1]):
        for status, answer in operation["responses"].items():
            if status[0] in "45" and path not in PUBLIC:
                content = answer["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorOut"}, (method, path, status)


async def test_every_answer_and_every_body_has_an_example(served: tuple[Running, httpx2.AsyncClient]) -> None:
    document = (await served[1].get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for method, path, operation in await operations(served[1]):
        told = [answer for status, answer in operation["responses"].items() if status[0] == "2"]
        for part in [*told, operation.get("requestBody", {"content": {}})]:
            for content_type, content in part.get("content", {}).items():
                assert content.get("example") or _shows(content["schema"], schemas), (method, path, content_type)


def _shows(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """An example of its own; for a list, one of what it lists; for several forms, one of each."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "anyOf" in schema:
        return all(_shows(form, schemas) for form in schema["anyOf"])
    return "example" in schema or ("data" in schema.get("properties", {}) and _shows(_items(schema), schemas))


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    items: dict[str, Any] = schema["properties"]["data"]["items"]
    return items


async def test_without_a_key_no_route_answers_but_the_public_ones(
    served: tuple[Running, httpx2.AsyncClient],
) -> None:
    for method, path, _ in await operations(served[1]):
        answer = await served[1].request(method, re.sub(r"\{[^}]*\}", "x", path))
        assert (answer.status_code == 401) is (path not in PUBLIC | SIGNED), (method, path, answer.status_code)


async def test_no_reference_in_the_document_leads_nowhere(served: tuple[Running, httpx2.AsyncClient]) -> None:
    text = (await served[1].get("/openapi.json")).text
    document = (await served[1].get("/openapi.json")).json()

    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in document["components"].get("schemas", {}), name
    assert "#/$defs/" not in text


async def test_the_page_and_every_file_of_it_come_from_here(served: tuple[Running, httpx2.AsyncClient]) -> None:
    page = await served[1].get("/docs")

    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/docs/assets/"), link
        assert (await served[1].get(link)).status_code == 200
    assert "://" not in page.text.replace("http://www.w3.org", "")
    assert (await served[1].get("/redoc")).status_code == 404
