#!/usr/bin/env python3
"""imagegate from a checkout: Python 3.11 and this file are enough.

    python3 dev.py run [options]       start the gateway; in the sandbox as long as no relay key is set
    python3 dev.py setup               only make .venv
    python3 dev.py check               formatting, lint, types, import rules
    python3 dev.py test [options]      check, then the tests; options go to pytest
    python3 dev.py test --all          the slow tests too: older SDKs, more seeds of the storm, SDKs through failures
    python3 dev.py storm [options]     random requests, faults and kills against a running gateway; see --help
    python3 dev.py faults [options]    half an hour of steady load with a fault every few seconds; see --help
    python3 dev.py bench [options]     CPU, time and memory of the gateway beside nginx; see --help
    python3 dev.py lock [options]      write the lock files with uv; --upgrade takes the newest versions
    python3 dev.py container [options] build the image with buildah and run it as the compose file does; see --help
    python3 dev.py sbom                write sbom.json and docs/licences.md: what is installed, under which licences

Dependencies are installed into .venv from a lock file with hashes, by uv where it is on the PATH and by pip otherwise.
Works from any folder; paths in options are relative to the checkout.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - this file must still load there, to say so
    sys.exit(f"imagegate: needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: python3.11 dev.py run")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = "stamp"
MEMORY, MEMORY_MIN_BYTES = Path("/dev/shm"), 4 * 1024**3
BIN = "Scripts" if os.name == "nt" else "bin"
RUN_LOCK = ROOT / "requirements.lock"
DEV_LOCK = ROOT / "requirements-dev.lock"
SDK_LOCKS = [
    ROOT / "tests" / "contract" / f"requirements-{name}.lock" for name in ("openai1", "openai2", "openai3", "clients")
]
RELAY_KEY = "IMAGEGATE_UPSTREAM_API_KEY"
CHECKS = (
    ("ruff", "format", "--check", "--quiet"),
    ("ruff", "check", "--quiet"),
    ("mypy", "--no-error-summary"),
    ("lint-imports", "--no-logo", "--no-cache"),
)


def run(options: list[str]) -> NoReturn:
    """Become the server, as `imagegate serve` with these options."""
    prepare_project(RUN_LOCK)
    if "--sandbox" not in options and not has_relay_key():
        say(f"no {RELAY_KEY} is set, so this is the sandbox: a stand-in relay and toy money. Set it in .env to leave.")
        options = [*options, "--sandbox"]
    become("imagegate", "serve", *options)


def setup(_options: list[str]) -> None:
    prepare_project(RUN_LOCK)
    say(f"ready: {VENV / BIN}")


def check(_options: list[str]) -> None:
    """Run all checks, even after a failed one, each beside the others: one of them takes most of the time. Exit 1 if any failed."""
    prepare_project(DEV_LOCK)
    with ThreadPoolExecutor(len(CHECKS)) as threads:
        passed = list(threads.map(passes, CHECKS))
    failed = [" ".join(command) for command, good in zip(CHECKS, passed, strict=True) if not good]
    if failed:
        sys.exit(f"imagegate: failed: {', '.join(failed)}")


def test(options: list[str]) -> NoReturn:
    """Run the checks, then the tests: in a process more than there are cores, as each waits a fifth of its time, unless options for
    pytest are given.

    Tests marked `slow` run with `--all` only. The tests of a file stay in one process, because they share servers.
    """
    check([])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Each gateway of a test would compile the application again.
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_MIN_BYTES:
        os.environ.setdefault("TMPDIR", str(MEMORY))  # Thousands of small databases wait for no disk.
    selected = [] if "--all" in options else ["-m", "not slow"]
    given = [option for option in options if option != "--all"]
    say("pytest")
    become(
        "pytest",
        *selected,
        *(given or ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--no-loadscope-reorder"]),
    )


def storm(options: list[str]) -> NoReturn:
    prepare_project(DEV_LOCK)
    become("python", "-m", "tests.storm", *options)


def faults(options: list[str]) -> NoReturn:
    prepare_project(DEV_LOCK)
    become("python", "-m", "tests.endurance", *options)


def bench(options: list[str]) -> NoReturn:
    prepare_project(DEV_LOCK)
    become("python", "-m", "benchmarks", *options)


def lock(options: list[str]) -> None:
    """Write every lock file. They name no index, so pip, uv and any mirror can install from them."""
    uv = shutil.which("uv") or sys.exit("imagegate: locks are made with uv, which is not on the PATH: pip install uv")
    compiling = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    compiling += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", *options]
    groups = ["pyproject.toml", "--extra", "notify", "--extra", "s3", "--extra", "sandbox", "--group", "build"]
    execute([*compiling, *groups, "--output-file", RUN_LOCK.name])
    execute([*compiling, *groups, "--group", "dev", "--constraint", RUN_LOCK.name, "--output-file", DEV_LOCK.name])
    for sdk_lock in SDK_LOCKS:
        execute([*compiling, str(sdk_lock.with_suffix(".in").relative_to(ROOT)), "--output-file", str(sdk_lock)])


def container(options: list[str]) -> NoReturn:
    prepare_project(DEV_LOCK)
    become("python", "-m", "deploy.container", *options)


def sbom(options: list[str]) -> NoReturn:
    prepare_project(DEV_LOCK)
    become("python", "-m", "deploy.sbom", *options)


COMMANDS = {
    "run": run,
    "setup": setup,
    "check": check,
    "test": test,
    "storm": storm,
    "faults": faults,
    "bench": bench,
    "lock": lock,
    "container": container,
    "sbom": sbom,
}


def prepare_project(lock: Path) -> None:
    # The lock for development holds all of the other one: whoever has it can run, too.
    prepare(VENV, lock, satisfied_by=(lock, DEV_LOCK), editable=ROOT)


def prepare(venv: Path, lock: Path, *, satisfied_by: tuple[Path, ...] = (), editable: Path | None = None) -> Path:
    """Make sure `venv` holds what `lock` says, and return its Python; instant when it does already.

    It also does when it was made from one of `satisfied_by`. `editable` is a project to install beside it, in place.
    Exits with the cure on stderr when it cannot be done.
    """
    python = venv / BIN / "python"
    if not python.exists():  # never made, or its Python has been removed from the machine since
        (venv / STAMP).unlink(missing_ok=True)
    beside = [editable / "pyproject.toml"] if editable else []
    good = [fingerprint(venv, python_version(), file, *beside) for file in (lock, *satisfied_by)]
    keep(venv, good, lambda: install(venv, python, lock, editable))
    return python


def keep(folder: Path, good: Sequence[str], make: Callable[[], None]) -> None:
    """Call `make` and stamp `folder` with the first of `good`, unless it bears one of them. Two at once take turns."""
    stamp = folder / STAMP
    if read(stamp) in good:
        return
    with one_at_a_time(folder):
        if read(stamp) not in good:
            make()
            stamp.write_text(good[0])


def fingerprint(folder: Path, version: str, *made_from: Path) -> str:
    """Stand for all that a folder is made from. It starts with the version, and changes when the folder is moved."""
    content = b"\0".join([os.fsencode(folder), *(file.read_bytes() for file in made_from)])
    return f"{version} {hashlib.sha256(content).hexdigest()}"


def python_version() -> str:
    return "{}.{}".format(*sys.version_info)


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def install(venv: Path, python: Path, lock: Path, editable: Path | None) -> None:
    uv = shutil.which("uv")
    # Without a stamp an earlier install broke off, and nobody knows what is in there.
    if not (read(venv / STAMP).startswith(f"{python_version()} ") and (uv or has_pip(python))):
        make_venv(venv, uv)
    (venv / STAMP).unlink(missing_ok=True)
    packages = len(re.findall(r"^[\w.-]+==", read(lock), re.MULTILINE))
    say(f"installing {packages} packages into {venv.name} with {'uv' if uv else 'pip, which takes a while'}")
    quiet = ("--quiet", "--no-progress") if uv else ("--quiet", "--disable-pip-version-check", "--no-input")
    # pip compiles what it installs; uv does when asked, and the first command then takes seconds less.
    command: list[str | Path] = [python, "-m", "pip", "install"]
    if uv:
        command = [uv, "pip", "install", "--compile-bytecode", "--python", python]
    execute([*command, *quiet, "--require-hashes", "--requirement", lock])
    if editable:
        execute([*command, *quiet, "--no-deps", "--no-build-isolation", "--editable", editable])


def make_venv(venv: Path, uv: str | None) -> None:
    say(f"making {venv.name} for Python {python_version()}")
    # The Python below an activated environment: that environment may be the one to be cleared.
    base_python = getattr(sys, "_base_executable", sys.executable)
    if uv:
        execute([uv, "venv", "--quiet", "--clear", "--python", base_python, venv])
    elif importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        execute([base_python, "-m", "venv", "--clear", venv])
    else:
        sys.exit(f"imagegate: this Python cannot make environments. The cure: {cure_for_missing_venv()}")


def has_pip(python: Path) -> bool:
    """Say whether this environment has pip: one made by uv has not."""
    return subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0


def cure_for_missing_venv() -> str:
    if shutil.which("apt-get"):
        return f"apt install python{python_version()}-venv    (with sudo, unless you are root)"
    if importlib.util.find_spec("pip"):
        return f"{sys.executable} -m pip install uv"
    return "install uv, or a Python that comes with ensurepip, and start again"


@contextlib.contextmanager
def one_at_a_time(venv: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: two at once are the user's to avoid.
        yield
        return
    with venv.with_name(f"{venv.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another one that is making {venv.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def has_relay_key() -> bool:
    """Look where the gateway will: in the environment, even if it is empty there; else at the last word of .env."""
    in_file = re.findall(rf"^\s*(?:export\s+)?{RELAY_KEY}\s*=(.*)", read(ROOT / ".env"), re.MULTILINE | re.IGNORECASE)
    return is_real(os.environ.get(RELAY_KEY, in_file[-1] if in_file else ""))


def is_real(key: str) -> bool:
    """Tell a key from nothing, from a remark, and from what stands in an example to be replaced. A random key may hold any word, so
    only what stands at the beginning tells."""
    key = re.sub(r"(^|\s)#.*", "", key).strip().strip("'\"")
    placeholder = r"\.\.\.|<|^(sk-)?(your|change.?me|replace|placeholder|example|x+$)"
    return bool(key) and not re.search(placeholder, key, re.IGNORECASE)


def say(words: str) -> None:
    from app.cli.language import translate  # Loads the standard library only: .venv may not be there yet.

    print(translate(f"imagegate: {words}"), file=sys.stderr, flush=True)


def passes(command: tuple[str, ...]) -> bool:
    """Run a check, and print in one piece what it said."""
    say(" ".join(command))
    done = subprocess.run([VENV / BIN / command[0], *command[1:]], capture_output=True)
    for stream, said in ((sys.stdout, done.stdout), (sys.stderr, done.stderr)):
        stream.buffer.write(said)
        stream.flush()
    return done.returncode == 0


def execute(command: Sequence[str | Path]) -> None:
    """Run to the end, its output on our stderr; exit when it fails, for it has said why."""
    code = subprocess.run(command, stdout=sys.stderr).returncode
    if code:
        sys.exit(f"imagegate: this failed with {code}: {' '.join(map(str, command))}")


def become(program: str, *arguments: str) -> NoReturn:
    """Turn into a program of .venv, so that signals and the exit code are its own."""
    command = [str(VENV / BIN / program), *arguments]
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    sys.stdout.flush()
    os.execv(command[0], command)


def main(arguments: list[str]) -> int:
    name, *options = arguments or ["--help"]
    if name not in COMMANDS:
        asked = name in ("-h", "--help", "help")
        print(__doc__, file=sys.stdout if asked else sys.stderr, end="")
        return 0 if asked else 2
    os.chdir(ROOT)
    try:
        COMMANDS[name](options)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
