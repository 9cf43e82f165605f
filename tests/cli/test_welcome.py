"""The welcome of a first start, and the command in it, run as a person pastes it."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.sandbox import RunningSandbox
from tests.gateways import GatewayProcess, gateway_process

TIMEOUT_S = 60
needs_curl = pytest.mark.skipif(
    not shutil.which("curl") or not shutil.which("bash"),
    reason="no curl here: the command of the welcome is NOT tested",
)


@pytest.fixture
async def gateway(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[GatewayProcess]:
    async with gateway_process(tmp_path / "it's here", relay.base_url) as process:
        yield process


async def paste(gateway: GatewayProcess) -> tuple[int, str, str]:
    """Run the printed command in a shell with a proxy that nobody serves; its exit code, stdout and stderr."""
    printed = re.search(r"^curl .*?\n\n", "".join(gateway.said), re.DOTALL | re.MULTILINE)
    assert printed is not None
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", printed[0]),
        cwd=gateway.data_dir.parent,
        env={**gateway.environment, "http_proxy": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_it_names_the_addresses_the_port_and_the_price(gateway: GatewayProcess) -> None:
    said = "".join(gateway.said)

    assert f"base_url={gateway.url}/v1" in said
    assert f"{gateway.url}/docs" in said
    assert re.search(rf"(?m)^Port {gateway.url.rpartition(':')[2]} on 127.0.0.1, which only this machine reaches", said)
    assert re.search(r"(?m)^REAL MONEY: .* from 127.0.0.1 .* gpt-image-1 costs at most \d+\.\d\d CNY", said)


async def test_a_later_start_names_the_price_and_no_key(gateway: GatewayProcess) -> None:
    await gateway.stop()
    gateway.said.clear()

    await gateway.start()

    said = "".join(gateway.said)
    assert "REAL MONEY" in said
    assert "keys create --user NAME" in said
    assert "sk-ig-" not in said


@needs_curl
async def test_the_printed_command_saves_a_picture_and_says_where_and_what_it_cost(gateway: GatewayProcess) -> None:
    code, out, err = await paste(gateway)

    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(gateway.data_dir))}/picture.png: \d\.\d\d CNY spent, \d+\.\d\d left\n", out)
    assert (gateway.data_dir / "picture.png").read_bytes().startswith(b"\x89PNG")


@needs_curl
async def test_the_printed_command_reaches_a_gateway_at_a_unix_socket(tmp_path: Path, relay: RunningSandbox) -> None:
    async with gateway_process(tmp_path, relay.base_url, arguments=("--uds", str(tmp_path / "its socket"))) as gateway:
        code, out, err = await paste(gateway)

    assert (code, err) == (0, "")
    assert " CNY spent, " in out


@needs_curl
async def test_the_printed_command_says_why_it_was_refused_and_leaves_the_last_picture(gateway: GatewayProcess) -> None:
    picture = gateway.data_dir / "picture.png"
    picture.write_bytes(b"the last one")
    await gateway.cli("limits", "set", "--user", "me", "--spend", "0.01", "--spend-per", "month")

    code, out, err = await paste(gateway)

    assert (code, out) == (1, "")
    assert re.match(r".*limit.*0\.01 CNY left", err), err
    assert picture.read_bytes() == b"the last one"


@needs_curl
async def test_the_printed_command_says_that_nobody_answers(gateway: GatewayProcess) -> None:
    await gateway.stop()

    code, out, err = await paste(gateway)

    assert (code, out) == (1, "")
    assert re.fullmatch(r"curl: \(7\) .*\n", err)
    assert not (gateway.data_dir / "picture.png").exists()
