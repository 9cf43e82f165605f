"""Scripts of the console: short, listed, and clean for TypeScript and ESLint where Node is at hand."""

import shutil
import subprocess
from pathlib import Path

import pytest

import dev
from app.console.assets import FOLDER, SCRIPTS
from tests.contract.environments import node_project

LINES_MAX = 200
HERE = Path(__file__).with_name("javascript")
NO_NODE = "no Node 20 and npm here: the scripts of the console are NOT checked by TypeScript and ESLint"


@pytest.fixture(scope="module")
def packages() -> Path:
    """Folder of TypeScript and ESLint, installed on first use."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(NO_NODE)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip(NO_NODE)
    return node_project(HERE, Path(npm), version) / "node_modules"


def test_every_script_is_served_and_short() -> None:
    lines = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in FOLDER.glob("*.js")}

    assert set(lines) == {*SCRIPTS}
    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}
    for name in SCRIPTS:
        assert (FOLDER / name).read_text(encoding="utf-8").startswith("// @ts-check\n"), name


@pytest.mark.parametrize(
    "command",
    [
        ("typescript/bin/tsc", "--project", HERE, "--pretty", "false"),
        ("eslint/bin/eslint.js", "--config", HERE / "eslint.config.js", "--max-warnings", "0", FOLDER),
    ],
    ids=["types", "rules"],
)
def test_the_scripts_are_clean(packages: Path, command: tuple[str | Path, ...]) -> None:
    program, *options = command

    done = subprocess.run(["node", packages / program, *options], cwd=dev.ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
