"""`OpenAI(admin_api_key=...).admin.organization` of the OpenAI Python SDK 3.x and `client.admin.organization` of the Node SDK."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import dev
from app.control.admin_keys import NewAdminKey, create_admin_key
from app.control.people import create_user
from app.sandbox import SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl
from tests.contract.environments import node_with_openai, output_of, python_with_openai
from tests.gateways import PEPPER, RELAY_KEY, Running, prepare, running_gateway
from tests.servers import PostgresServer

HERE = Path(__file__).parent / "admin"
PYTHON_CHECKS = re.findall(r"^@check\ndef (\w+)", (HERE / "organization.py").read_text(encoding="utf-8"), re.MULTILINE)
NODE_CHECKS = re.findall(r"^check\('(\w+)'", (HERE / "organization.mjs").read_text(encoding="utf-8"), re.MULTILINE)
TIMEOUT_S = 120
Results = dict[str, str | None]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Running]:
    """One for the file, on each database: each check has names of its own."""
    url = None
    if request.param == "postgres":
        postgres_server.ensure_running()
        url = await postgres_server.create_database()
        await prepare(DatabaseUrl("postgresql", url=url))
    async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay:
        folder = tmp_path_factory.mktemp("gateway")
        async with running_gateway(folder, relay.base_url, database_url=url) as running:
            yield running
    if url is not None:
        await postgres_server.drop_database(url)


@pytest.fixture(scope="module")
async def where(gateway: Running) -> dict[str, str]:
    """Where everything is: keys by who holds them, and people who are there from the start."""
    for name in ("lin", "bo", "eve"):
        await create_user(gateway.database, name, f"{name}@example.com")
    owner = await create_admin_key(gateway.database, PEPPER, NewAdminKey("owner"))
    reader = await create_admin_key(gateway.database, PEPPER, NewAdminKey("reader", role="reader"))
    api_key = await gateway.key("lin")
    keys = {"owner": owner.key, "reader": reader.key, "api_key": api_key.key}
    return {"url": gateway.url, "project_id": "proj_default", **keys}


@pytest.fixture(scope="module")
async def python_results(where: dict[str, str]) -> Results:
    python = await asyncio.to_thread(python_with_openai, 3)
    command = (str(python), "-m", "tests.contract.admin.organization")
    return await _run(command, dev.ROOT, json.dumps(where).encode(), os.environ.copy())


@pytest.fixture(scope="module")
async def node_results(where: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = await asyncio.to_thread(node_with_openai) if shutil.which("node") and shutil.which("npm") else None
    if folder is None:
        pytest.skip("no Node of at least 20 here: what its SDK sends is NOT tested")
    file = tmp_path_factory.mktemp("node") / "where.json"
    file.write_text(json.dumps(where), encoding="utf-8")
    script = (HERE / "organization.mjs").read_bytes()
    environment = {**os.environ, "IMAGEGATE_CONTRACT": str(file)}
    return await _run(("node", "--input-type=module"), folder, script, environment)


@pytest.mark.parametrize("name", PYTHON_CHECKS)
async def test_with_the_python_sdk(python_results: Results, name: str) -> None:
    if (failure := python_results.get(name, "It did not run.")) is not None:
        pytest.fail(failure, pytrace=False)


@pytest.mark.parametrize("name", NODE_CHECKS)
async def test_with_the_node_sdk(node_results: Results, name: str) -> None:
    if (failure := node_results.get(name, "It did not run.")) is not None:
        pytest.fail(failure, pytrace=False)


async def _run(command: tuple[str, ...], folder: Path, given: bytes, environment: dict[str, str]) -> Results:
    out = await output_of(*command, timeout_s=TIMEOUT_S, given=given, folder=folder, env=environment)
    return {line["name"]: line["failure"] for line in map(json.loads, out.splitlines())}
