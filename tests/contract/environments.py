"""The OpenAI SDKs and other clients in environments of their own: no two majors fit into one, and none belongs beside the gateway.

They are made on first use, from the locks beside this file, in git-ignored folders at the top of the checkout.
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import dev
from tests.authorities import the_machines

HERE = Path(__file__).parent


def python_with_openai(major: int) -> Path:
    """Return a Python that imports `openai` of this major version (1, 2 or 3) and nothing of the gateway."""
    return _python(f"openai{major}")


def python_with_clients() -> Path:
    """Return a Python that imports the packages of requirements-clients.in. A new `node` and `npm` stand beside it."""
    return _python("clients")


def _python(name: str) -> Path:
    with the_machines():
        return dev.prepare(dev.ROOT / f".venv-{name}", HERE / f"requirements-{name}.lock")


def node_with_clients(programs: Path) -> Path:
    """Return a folder from which Node resolves the packages of node-clients, put there by the npm among `programs`."""
    return node_project(HERE / "node-clients", programs / "npm", "")


def node_with_openai() -> Path | None:
    """Return a folder from which Node resolves the newest `openai` it can run; None without Node 20 and npm.

    Run scripts as `node --input-type=module -e ...` with this folder as the working directory, or put them into it.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    node_major = int(version.removeprefix("v").split(".")[0])
    if node_major < 20:
        return None
    return node_project(HERE / ("node-openai7" if node_major >= 22 else "node-openai6"), Path(npm), version)


def node_project(source: Path, npm: Path, version: str) -> Path:
    """Return a git-ignored copy of a folder that has a package-lock.json, with its packages. `version` is Node's, or empty."""
    folder = dev.ROOT / f".venv-{source.name}"

    def install() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        dev.say(f"installing packages for Node into {folder.name}")
        # npm runs on the first Node of the PATH.
        path = f"PATH={npm.parent}{os.pathsep}{os.environ['PATH']}"
        with the_machines():
            dev.execute(["env", path, npm, "ci", "--silent", "--no-audit", "--no-fund", "--prefix", folder])

    dev.keep(folder, [dev.fingerprint(folder, version, source / "package-lock.json")], install)
    return folder


async def output_of(
    *command: str | Path,
    timeout_s: float,
    given: bytes = b"",
    folder: Path = dev.ROOT,
    env: dict[str, str] | None = None,
) -> bytes:
    """Return what a program printed that read `given`. Raises AssertionError with its errors when it failed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(timeout_s):
        out, err = await process.communicate(given)
    assert process.returncode == 0, err.decode()
    return out
