"""`python3 dev.py` as a process, in a checkout made for the test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dev


def python(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEGATE_")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with dev.py, whose environment is not made yet."""
    for file in ("dev.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(dev.ROOT / file, tmp_path)
    return tmp_path


@pytest.fixture
def ready(checkout: Path) -> Path:
    """A checkout whose environment is up to date; its `imagegate` and `pytest` print how they were called, and exit 7."""
    venv = checkout / ".venv"
    (venv / dev.BIN).mkdir(parents=True)
    (venv / dev.BIN / "python").touch()
    for program, code in {"imagegate": 7, "pytest": 7, "ruff": 0, "mypy": 0, "lint-imports": 0}.items():
        (venv / dev.BIN / program).write_text(f'#!/bin/sh\necho {program} "$@"\nexit {code}\n')
        (venv / dev.BIN / program).chmod(0o755)
    made_from = (checkout / "requirements-dev.lock", checkout / "pyproject.toml")
    (venv / dev.STAMP).write_text(dev.fingerprint(venv, dev.python_version(), *made_from))
    return checkout


def test_help_is_asked_for_or_given_with_an_error() -> None:
    asked = python("dev.py", "--help", cwd=dev.ROOT)
    wrong = python("dev.py", "no-such-command", cwd=dev.ROOT)

    assert (asked.returncode, wrong.returncode) == (0, 2)
    assert asked.stdout == wrong.stderr == dev.__doc__


@pytest.mark.parametrize(
    ("in_environment", "in_file", "sandbox"),
    [
        (None, None, True),
        (None, "IMAGEGATE_UPSTREAM_API_KEY=  # the relay's", True),
        (None, "# IMAGEGATE_UPSTREAM_API_KEY=sk-1234", True),
        (None, "IMAGEGATE_UPSTREAM_API_KEY='your-key-here'", True),
        (None, "IMAGEGATE_UPSTREAM_API_KEY=sk-...", True),
        (None, "IMAGEGATE_UPSTREAM_API_KEY=sk-xxxxxxxxxxxxxxxx", True),
        (None, "IMAGEGATE_UPSTREAM_API_KEY=sk-9fQ2xXxP0yourAb7example", False),  # Random keys may hold any word.
        (None, "IMAGEGATE_HOST=::\nexport IMAGEGATE_UPSTREAM_API_KEY = 'sk-1234' # the relay's", False),
        (None, "IMAGEGATE_UPSTREAM_API_KEY=sk-1234\nIMAGEGATE_UPSTREAM_API_KEY=", True),
        ("", "IMAGEGATE_UPSTREAM_API_KEY=sk-1234", True),
        ("sk-1234", None, False),
    ],
)
def test_without_a_relay_key_the_gateway_starts_in_the_sandbox(
    ready: Path, in_environment: str | None, in_file: str | None, sandbox: bool
) -> None:
    if in_file is not None:
        (ready / ".env").write_text(in_file)
    environment = {} if in_environment is None else {dev.RELAY_KEY: in_environment}

    started = python(ready / "dev.py", "run", "--port", "0", cwd=Path("/"), **environment)

    assert started.stdout == "imagegate serve --port 0" + (" --sandbox" if sandbox else "") + "\n"
    assert ("this is the sandbox" in started.stderr) == sandbox
    assert started.returncode == 7


def test_slow_tests_run_when_asked_for_and_all_tests_only_after_every_check_has_passed(ready: Path) -> None:
    short = python("dev.py", "test", "-k", "a b", cwd=ready)
    whole = python("dev.py", "test", "--all", cwd=ready)
    (ready / ".venv" / dev.BIN / "ruff").write_text("#!/bin/sh\nexit 1\n")
    failing = python("dev.py", "test", cwd=ready)

    assert short.stdout.splitlines()[-1] == "pytest -m not slow -k a b"
    assert short.returncode == 7
    assert whole.stdout.splitlines()[-1].startswith(f"pytest -n {(os.cpu_count() or 1) + 1} ")
    assert "lint-imports" in failing.stdout
    assert "pytest" not in failing.stdout
    assert failing.returncode == 1


def test_without_the_means_to_make_an_environment_it_names_the_cure(checkout: Path) -> None:
    start = "import runpy, sys; sys.modules['ensurepip'] = None; runpy.run_path('dev.py', run_name='__main__')"

    refused = python("-c", start, "setup", cwd=checkout, PATH="/nowhere")

    assert refused.returncode == 1
    assert "The cure: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_python_that_is_too_old_is_told_so(checkout: Path) -> None:
    start = "import runpy, sys; sys.version_info = (3, 10, 2); runpy.run_path('dev.py', run_name='__main__')"

    refused = python("-c", start, "run", cwd=checkout)

    assert refused.returncode == 1
    assert "needs Python 3.11 or newer" in refused.stderr


def test_an_install_that_fails_leaves_no_stamp(checkout: Path) -> None:
    venv = checkout / ".venv"
    (venv / dev.BIN).mkdir(parents=True)
    (venv / dev.BIN / "python").write_text('#!/bin/sh\n[ "$2" = "import pip" ]\n')  # It has pip, and pip fails.
    (venv / dev.BIN / "python").chmod(0o755)
    (venv / dev.STAMP).write_text(f"{dev.python_version()} of other packages")

    failed = python("dev.py", "setup", cwd=checkout, UV_NO_INDEX="1", UV_OFFLINE="1")

    assert failed.returncode == 1
    assert "this failed with" in failed.stderr
    assert not (checkout / ".venv" / dev.STAMP).exists()
