"""Starts the stock SDKs as processes of their own and reads what came of their calls."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dev
from tests.contract.environments import node_with_openai, python_with_openai
from tests.storm.shapes import Sdk

PYTHON_MAJOR = 3
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class SdkCall:
    """`at_s`: when it begins, counted from the start of its process."""

    marker: str
    base_url: str
    prompt: str
    at_s: float = 0.0
    timeout_s: float = 600.0
    format: str = "png"

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of one call. `failure` is None if a picture came."""

    marker: str
    seconds: float
    failure: str | None


def sdks_here() -> tuple[Sdk, ...]:
    """List the SDKs that can run on this machine; their environments are made on first use."""
    return ("python", "node") if node_with_openai() is not None else ("python",)


async def call_all(
    sdk: Sdk, key: str, calls: Sequence[SdkCall], told: Callable[[CallResult], None] = lambda _: None
) -> dict[str, CallResult]:
    """All calls, by marker, in one process of this SDK; `told` hears of each as it ends. Raises AssertionError when it breaks."""
    done: dict[str, CallResult] = {}
    async with sdk_process(sdk, key, calls) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            one = CallResult(**json.loads(line))
            done[one.marker] = one
            told(one)
        assert await process.wait() == 0, f"the {sdk} SDK's process ended with {process.returncode}"
    return done


@asynccontextmanager
async def sdk_process(sdk: Sdk, key: str, calls: Sequence[SdkCall]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that makes these calls; killed at the end of the block where it still runs."""
    command, folder = await asyncio.to_thread(_command, sdk)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"key": key, "jobs": [call.as_json() for call in calls]}).encode())
        process.stdin.close()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _command(sdk: Sdk) -> tuple[list[str | Path], Path]:
    if sdk == "python":
        return [python_with_openai(PYTHON_MAJOR), HERE / "sdk_calls.py"], dev.ROOT
    folder = node_with_openai()
    assert folder is not None, "no Node 20 with npm here"
    return ["node", "--input-type=module", "-e", (HERE / "sdk_calls.mjs").read_text(encoding="utf-8")], folder
