"""Pictures in the form that was asked for, whatever the relay sent: base64, links, both, or one of each."""

import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from PIL import Image

from app.sandbox import RunningSandbox
from app.store.tables import pictures, results
from tests.gateways import running_gateway
from tests.images.client import Client

GENERATION, EDIT = "/v1/images/generations", "/v1/images/edits"
SENT = {
    "url": [{"url"}, {"url"}],
    "": [{"b64_json"}, {"b64_json"}],
    "data_url": [{"b64_json"}, {"b64_json"}],
    "both": [{"url", "b64_json"}, {"url", "b64_json"}],
    "mixed": [{"url", "revised_prompt"}, {"b64_json"}],
}
"""Fields of the items that the sandbox sends, by the `body` of its hint."""
FORM = {"url", "b64_json"}
SIGNATURE = re.compile(rb"signature=[0-9a-f]{64}|expires=[0-9]+")
Opened = Callable[..., Any]


@pytest.fixture
async def opened(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_client(**settings: Any) -> Client:
            settings = {"pictures_fetch_networks": "127.0.0.0/8"} | settings
            gateway = running_gateway(tmp_path, relay.base_url, **settings)
            running = await stack.enter_async_context(gateway)
            http = await stack.enter_async_context(httpx2.AsyncClient(base_url=running.url, timeout=60, verify=False))
            return Client(http, await running.key("lin"), relay, running)

        yield open_client


def photograph() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


async def send(client: Client, path: str, model: str, body: str, asked: str | None, **headers: str) -> httpx2.Response:
    """Buy two pictures, which the relay sends as `body`."""
    hints = f"body={body} signed=1" if body else "signed=1"
    fields = {"model": model, "prompt": f"[[sandbox {hints}]] two cats {model}", "n": 2}
    fields |= {} if asked is None else {"response_format": asked}
    given = {"Authorization": f"Bearer {client.key.key}"} | headers
    if path == GENERATION:
        return await client.http.post(path, json=fields, headers=given)
    form = {name: str(value) for name, value in fields.items()}
    files = {"image": ("a.png", photograph(), "image/png")}
    return await client.http.post(path, data=form, files=files, headers=given)


async def digests(client: Client, items: list[dict[str, Any]], name: str) -> list[str]:
    """SHA-256 of the pictures in one of their forms."""
    found = []
    for item in items:
        if name in item:
            content = (
                base64.b64decode(item[name]) if name == "b64_json" else (await client.http.get(item[name])).content
            )
            found.append(hashlib.sha256(content).hexdigest())
    return found


@pytest.mark.parametrize("asked", ["url", "b64_json", None])
@pytest.mark.parametrize("body", SENT)
async def test_the_form_asked_for_arrives_first_again_and_collected(
    opened: Opened, body: str, asked: str | None
) -> None:
    client = await opened()
    offers = [(GENERATION, "flux-kontext-pro"), (EDIT, "flux-kontext-pro"), (GENERATION, "gpt-image-1")]
    for number, (path, model) in enumerate(offers):
        key = {"Idempotency-Key": f"order-{number}"}
        first = await send(client, path, model, body, asked, **key)
        assert first.status_code == 200, first.text
        drawn = list(client.relay.sandbox.drawn_sha256)[-2:]
        again = await send(client, path, model, body, asked, **key)
        later = await send(client, path, model, body, asked, Prefer="respond-async", **key)
        collected = await client.get(f"{later.headers['location']}/result")

        wanted = asked or ("b64_json" if model == "gpt-image-1" else None)
        items = first.json()["data"]
        forms = [item.keys() & FORM for item in items]
        assert forms == [{wanted} if wanted else sent & FORM for sent in SENT[body]]
        for name in FORM:
            expected = [digest for digest, form in zip(drawn, forms, strict=True) if name in form]
            assert await digests(client, items, name) == expected
        assert all(item["url"].startswith(client.gateway.url) for item in items if "url" in item)
        assert [item.get("revised_prompt") for item in items] == ["as drawn" if body == "mixed" else None, None]
        for answer in (first, again, collected):
            assert "x-imagegate-response-format" not in answer.headers
            assert SIGNATURE.sub(b"", answer.content) == SIGNATURE.sub(b"", first.content)
        assert client.charges == number + 1
    await client.gateway.gateway.taking.take_all()
    async with client.gateway.database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.sum(pictures.c.c2pa)))).scalar_one() == 2 * len(offers)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("body", ["url", "both", ""])
async def test_a_duplicate_is_served_in_the_form_of_its_original(opened: Opened, body: str, stored: bool) -> None:
    client, serve = await opened(), {"x-imagegate-duplicate": "serve"}
    first = await send(client, GENERATION, "flux-kontext-pro", body, None)
    await client.gateway.gateway.taking.take_all()
    if not stored:  # The stored answer lives minutes, the pictures a month.
        async with client.gateway.database.transaction() as connection:
            await connection.execute(sa.delete(results))

    again = await send(client, GENERATION, "flux-kontext-pro", body, None, **serve)
    asked = await send(client, GENERATION, "flux-kontext-pro", body, "b64_json", **serve)

    assert (again.headers["x-imagegate-duplicate"], client.charges) == ("served", 1)
    items = again.json()["data"]
    assert [item.keys() & FORM for item in items] == ([sent & FORM for sent in SENT[body]] if stored else [{"url"}] * 2)
    assert [item.keys() & FORM for item in asked.json()["data"]] == [{"b64_json"}] * 2
    forms = [name for name in ("url", "b64_json") if name in items[0]]
    drawn = list(client.relay.sandbox.drawn_sha256)[-2:]
    assert [await digests(client, items, form) for form in forms] == [drawn] * len(forms)
    assert all(item["url"].startswith(client.gateway.url) for item in items if "url" in item)
    assert first.status_code == 200


@pytest.mark.parametrize(("asked", "told"), [("url", None), ("b64_json", "url"), (None, None)])
async def test_without_kept_pictures_nothing_is_fetched_and_a_header_tells_the_form(
    opened: Opened, asked: str | None, told: str | None
) -> None:
    client = await opened(pictures_keep_days=0)

    answer = await send(client, GENERATION, "flux-kontext-pro", "url", asked)

    assert [item["url"].startswith(client.relay.base_url) for item in answer.json()["data"]] == [True, True]
    assert answer.headers.get("x-imagegate-response-format") == told
    assert [seen.path for seen in client.relay.sandbox.seen] == [GENERATION]


async def test_what_cannot_be_fetched_stays_in_the_form_there_is_and_is_charged_once(opened: Opened) -> None:
    client = await opened(pictures_fetch_networks="10.0.0.0/8")

    for model, asked in (("gpt-image-1", None), ("flux-kontext-pro", "b64_json")):
        answer = await send(client, GENERATION, model, "mixed", asked, **{"Idempotency-Key": model})
        again = await send(client, GENERATION, model, "mixed", asked, **{"Idempotency-Key": model})

        assert [item.keys() & FORM for item in answer.json()["data"]] == [{"url"}, {"b64_json"}]
        assert answer.headers["x-imagegate-response-format"] == "b64_json, url"
        assert again.content == answer.content
    assert [row["state"] for row in await client.gateway.rows()] == ["settled"] * 2
    assert client.charges == 2


async def test_a_revised_prompt_leaves_the_stored_answer_where_prompts_are_not_kept(opened: Opened) -> None:
    client, key = await opened(prompts="none"), {"Idempotency-Key": "once"}
    first = await send(client, GENERATION, "gpt-image-1", "mixed", "b64_json", **key)
    await client.gateway.gateway.taking.take_all()

    again = await send(client, GENERATION, "gpt-image-1", "mixed", "b64_json", **key)

    assert "as drawn" in first.text and "revised_prompt" not in again.text
    assert await digests(client, again.json()["data"], "b64_json") == await digests(
        client, first.json()["data"], "b64_json"
    )
    async with client.gateway.database.read() as connection:
        assert b"as drawn" not in (await connection.execute(sa.select(results.c.body))).scalar_one()
