"""Paths documented as OpenAI's are those that OpenAI's SDK calls; those documented as extensions are none of them."""

import asyncio
import re
import subprocess
from pathlib import Path

import httpx2
import pytest

import dev
from tests.contract.environments import python_with_openai
from tests.gateways import running_gateway

Call = tuple[str, str]
"""Method, and path after /v1/organization with `{id}` for everything that varies."""

CALL = re.compile(r'self\._(get|post|delete|get_api_list)\(\s*(?:path_template\(\s*)?"/organization([^"]*)"')
LACKING = re.compile(
    "/(certificates|data_retention|external_keys|external_storage|groups|hosted_tool_permissions|roles"
    "|service_tier_settings|workload_identity_providers)(/|$)"
)
"""What this gateway says it lacks: 404 `unknown_url`."""
NO_IMAGES = re.compile("/usage/(?!images$)")


@pytest.fixture
async def calls(anyio_backend: str, tmp_path: Path) -> dict[Call, bool]:
    """Every call of ours, and whether it is marked as an extension."""
    async with (
        running_gateway(tmp_path, "http://127.0.0.1:9") as running,
        httpx2.AsyncClient(verify=False, timeout=60) as http,
    ):
        document = (await http.get(f"{running.url}/openapi.json")).json()
    return {
        (method, _plain(path.removeprefix("/v1/organization"))): "x-extension" in operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/organization/")
    }


async def test_openais_and_ours_are_told_apart_and_nothing_is_missing(calls: dict[Call, bool]) -> None:
    theirs = await asyncio.to_thread(_of_the_sdk)
    ours = {call for call, extension in calls.items() if extension}
    assert len(theirs) > 100

    assert set(calls) - ours - theirs == set(), "not OpenAI's, and not marked as an extension"
    assert ours & theirs == set(), "OpenAI's, and marked as an extension"
    missing = theirs - set(calls)
    assert {(method, path) for method, path in missing if not (LACKING.search(path) or NO_IMAGES.search(path))} == set()


async def test_the_guide_names_every_path(calls: dict[Call, bool]) -> None:
    guide = (dev.ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
    named = {_plain(path) for path in re.findall(r"`(/[^`?]*)`", guide)}

    assert {path for _, path in calls if path.removesuffix("/{id}") not in named} == set()


def _of_the_sdk() -> set[Call]:
    script = "import openai.resources.admin.organization as o; print(*o.__path__)"
    told = subprocess.run([python_with_openai(3), "-c", script], capture_output=True, text=True, check=True).stdout
    sources = [file.read_text(encoding="utf-8") for file in Path(told.strip()).rglob("*.py")]
    return {
        ("get" if verb == "get_api_list" else verb, _plain(path))
        for source in sources
        for verb, path in CALL.findall(source)
    }


def _plain(path: str) -> str:
    return re.sub(r"{[^}]*}", "{id}", path)
