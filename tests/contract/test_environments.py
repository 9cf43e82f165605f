"""The SDKs that the contract tests drive."""

import shutil
import subprocess

import pytest

from tests.contract.environments import node_with_openai, python_with_openai


@pytest.mark.parametrize("major", [1, 2, 3])
def test_each_python_sdk_is_the_major_version_asked_for(major: int) -> None:
    command = [str(python_with_openai(major)), "-c", "import openai; print(openai.VERSION)"]

    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert version.startswith(f"{major}.")


@pytest.mark.skipif(not shutil.which("node") or not shutil.which("npm"), reason="no Node here: its SDK is NOT tested")
def test_the_node_sdk_is_the_newest_that_this_node_runs() -> None:
    folder = node_with_openai()
    if folder is None:
        pytest.skip("this Node is older than 20: its SDK is NOT tested")
    script = "import { OpenAI } from 'openai'; console.log(typeof new OpenAI({ apiKey: 'x' }).images.generate)"

    said = subprocess.run(
        ["node", "--input-type=module", "-e", script], cwd=folder, capture_output=True, text=True, check=True
    ).stdout

    assert said.strip() == "function"
