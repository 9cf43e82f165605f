"""Clients with their default models, on a new book and after `imagegate models alias 'gpt-image-*' gpt-image-1`.

What each sends was recorded from it in November 2026.
"""

import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from app.control.model_aliases import AliasChange, set_alias
from tests.contract.stage import Stage

GPT = "gpt-image-1"


@pytest.fixture(params=["C", "N"])
def profile(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def http(stage: Stage, profile: str) -> AsyncIterator[httpx2.AsyncClient]:
    running = stage.gateways[profile]
    await set_alias(running.database, AliasChange("gpt-image-*", GPT))
    running.gateway.control_data.expire()
    key = await running.key("aliases")
    headers = {"Authorization": f"Bearer {key.key}"}
    async with httpx2.AsyncClient(base_url=f"{running.url}/v1", headers=headers, verify=False, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    "sent,arrives,kept",
    [
        pytest.param(
            {"model": "dall-e-2", "n": 1, "size": "1024x1024"},
            {"n": "1", "size": "1024x1024"},
            "url",
            id="LangChain for Python",
        ),
        pytest.param(
            {"model": "dall-e-3", "n": 1, "size": "1024x1024", "style": "vivid", "quality": "standard"}
            | {"response_format": "url"},
            {"n": "1", "size": "1024x1024", "quality": "medium"},
            "url",
            id="LangChain for JavaScript",
        ),
        pytest.param(
            {"model": "dall-e-3", "n": 1, "size": "1792x1024", "quality": "standard", "style": "vivid"}
            | {"response_format": "url"},
            {"n": "1", "size": "1536x1024", "quality": "medium"},
            "url",
            id="LlamaIndex",
        ),
        pytest.param(
            {"model": "dall-e-3", "n": 1, "size": "1024x1792", "quality": "hd", "style": "natural"},
            {"n": "1", "size": "1024x1536", "quality": "high"},
            "url",
            id="agno",
        ),
        pytest.param(
            {"model": "dall-e-2", "n": 1, "size": "512x512"}, {"n": "1", "size": "1024x1024"}, "url", id="Open WebUI"
        ),
        pytest.param(
            {"model": "gpt-image-2", "size": "1792x1024", "n": 1, "response_format": "b64_json"},
            {"size": "1536x1024", "n": "1"},
            "b64_json",
            id="img-cli",
        ),
        pytest.param(
            {"model": "gpt-image-2", "n": 1, "size": "1024x1024", "quality": "auto"},
            {"n": "1", "size": "1024x1024", "quality": "auto"},
            None,
            id="Haystack",
        ),
        pytest.param(
            {"model": "gpt-image-1.5", "moderation": "low", "n": 1, "quality": "medium", "size": "1024x1024"},
            {"moderation": "low", "n": "1", "quality": "medium", "size": "1024x1024"},
            None,
            id="llm-openai-images",
        ),
    ],
)
async def test_the_default_model_of_a_client_gets_a_picture(
    stage: Stage,
    profile: str,
    http: httpx2.AsyncClient,
    sent: dict[str, Any],
    arrives: dict[str, Any],
    kept: str | None,
) -> None:
    mark = f"mark {uuid4()}"

    answer = await http.post("/images/generations", json={**sent, "prompt": mark})

    assert answer.status_code == 200, answer.text
    [item] = answer.json()["data"]
    picture = (await http.get(item["url"])).content if kept == "url" else base64.b64decode(item["b64_json"])
    assert picture.startswith(b"\x89PNG")
    assert answer.headers["x-imagegate-model"] == GPT
    [seen] = stage.seen(profile, mark)
    assert seen.fields == {"model": GPT, "prompt": mark, **arrives}
    row = (await stage.gateways[profile].rows())[-1]
    assert (row["model"], row["asked_model"], row["response_format"]) == (GPT, sent["model"], kept)
    assert row["cost_micros"] == 1_000_000


async def test_an_edit_by_a_form_is_translated_too(stage: Stage, profile: str, http: httpx2.AsyncClient) -> None:
    mark, picture = f"mark {uuid4()}", stage.pictures["png"]
    fields = {"model": "dall-e-2", "prompt": mark, "size": "256x256", "response_format": "url", "n": "1"}

    answer = await http.post("/images/edits", data=fields, files=[("image", ("a.png", picture))])

    assert answer.status_code == 200, answer.text
    [seen] = stage.seen(profile, mark)
    assert seen.fields == {"model": GPT, "prompt": mark, "size": "1024x1024", "n": "1"}
    assert len(seen.files) == 1


async def test_a_stream_says_the_model_in_its_head_and_no_alias_no_header(http: httpx2.AsyncClient) -> None:
    streamed = await http.post("/images/generations", json={"model": "dall-e-3", "prompt": "a cat", "stream": True})
    plain = await http.post("/images/generations", json={"model": GPT, "prompt": "a cat"})

    assert "image_generation.completed" in streamed.text
    assert streamed.headers["x-imagegate-model"] == GPT
    assert "x-imagegate-model" not in plain.headers


async def test_the_list_of_models_names_aliases_and_a_single_one_may_match_a_pattern(http: httpx2.AsyncClient) -> None:
    listed = [each["id"] for each in (await http.get("/models")).json()["data"]]
    single = [(await http.get(f"/models/{name}")).json() for name in ("dall-e-3", "gpt-image-2")]

    assert {"dall-e-2", "dall-e-3", GPT} <= set(listed)
    assert "gpt-image-*" not in listed and len(listed) == len(set(listed))
    assert [(each["id"], each["object"]) for each in single] == [("dall-e-3", "model"), ("gpt-image-2", "model")]


async def test_an_unknown_model_is_told_the_nearest_name_and_the_command(http: httpx2.AsyncClient) -> None:
    answers = [await http.post("/images/generations", json={"model": "dall-e-4", "prompt": "a cat"})]
    answers.append(await http.get("/models/dall-e-4"))

    for answer in answers:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert "Did you mean 'dall-e-3'?" in error["message"] and "seedream-3.0" in error["message"]
        assert "`imagegate models alias dall-e-4 gpt-image-1`" in error["message"]
