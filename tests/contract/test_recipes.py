"""The recipes of docs/administration.md do what they say, as they stand there."""

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import dev
from app.control.admin_keys import NewAdminKey, create_admin_key
from app.sandbox import RunningSandbox
from tests.contract.environments import node_with_openai, python_with_openai
from tests.gateways import PEPPER, running_gateway

TIMEOUT_S = 120
SHOWN = "http://127.0.0.1:8000"
GUIDE = (dev.ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
SECTION = GUIDE[GUIDE.index("## Recipes") : GUIDE.index("## Alerts")]
RECIPES = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)


def test_there_are_recipes_for_each() -> None:
    assert [kind for kind, _ in RECIPES] == ["python", "python", "js", "sh"]


@pytest.mark.parametrize(("kind", "recipe"), RECIPES, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(RECIPES)])
async def test_a_recipe_works(tmp_path: Path, relay: RunningSandbox, kind: str, recipe: str) -> None:
    command, folder = await asyncio.to_thread(_with, kind, tmp_path)
    async with running_gateway(tmp_path, relay.base_url) as running:
        key = await create_admin_key(running.database, PEPPER, NewAdminKey("recipes"))
        assert SHOWN in recipe
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**os.environ, "IMAGEGATE_ADMIN_KEY": key.key, "NO_PROXY": "127.0.0.1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, _ = await process.communicate(recipe.replace(SHOWN, running.url).encode())

    assert process.returncode == 0, out.decode()
    assert out, "it says something"


def _with(kind: str, folder: Path) -> tuple[tuple[str, ...], Path]:
    if kind == "python":
        return (str(python_with_openai(3)), "-"), folder
    if kind == "js":
        node = node_with_openai() if shutil.which("node") and shutil.which("npm") else None
        if node is None:
            pytest.skip("no Node of at least 20 here: the recipe is NOT tested")
        return ("node", "--input-type=module"), node
    if not shutil.which("curl") or not shutil.which("bash"):
        pytest.skip("no curl here: the recipe is NOT tested")
    return ("bash", "-e"), folder
