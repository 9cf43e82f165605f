"""The project's own files: locks, containers, the Makefile."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dev

LOCKS = sorted([*dev.ROOT.glob("requirements*.lock"), *dev.ROOT.glob("tests/contract/*.lock")])
NPM_LOCKS = sorted(dev.ROOT.glob("tests/*/*/package-lock.json"))
PROJECT = tomllib.loads((dev.ROOT / "pyproject.toml").read_text())
EXTRAS = [wanted for extra in PROJECT["project"]["optional-dependencies"].values() for wanted in extra]
DECLARED = {
    dev.RUN_LOCK: [*PROJECT["project"]["dependencies"], *EXTRAS, *PROJECT["dependency-groups"]["build"]],
    dev.DEV_LOCK: [*PROJECT["project"]["dependencies"], *EXTRAS, *PROJECT["dependency-groups"]["dev"]],
}


def entries(lock: Path) -> list[str]:
    """The requirements of a lock, each on one line, without remarks."""
    lines = re.sub(r"(?m)^\s*#.*\n", "", lock.read_text()).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


def pins(lock: Path) -> dict[str, str]:
    return {found[1]: found[2] for line in entries(lock) if (found := re.match(r"([\w.-]+)\S*==([^ ;]+)", line))}


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], cwd=dev.ROOT, capture_output=True, text=True)


def test_there_is_a_lock_to_run_one_to_develop_and_one_for_each_sdk() -> None:
    assert set(LOCKS) == {dev.RUN_LOCK, dev.DEV_LOCK, *dev.SDK_LOCKS}
    assert len(NPM_LOCKS) == 4


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index_and_a_hash_for_every_package(lock: Path) -> None:
    assert "://" not in lock.read_text()
    for entry in entries(lock):
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", entry), f"neither index, link nor file may stand here: {entry}"
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda lock: lock.parent.name)
def test_an_npm_lock_names_no_registry_and_a_hash_for_every_package(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert '"resolved"' not in text
    assert text.count('"node_modules/') == text.count('"integrity": "sha512-')


@pytest.mark.parametrize("lock", DECLARED, ids=lambda lock: lock.name)
def test_a_lock_pins_all_that_the_project_declares(lock: Path) -> None:
    pinned = pins(lock)

    for requirement in map(Requirement, DECLARED[lock]):
        assert requirement.specifier.contains(pinned[requirement.name]), f"{requirement}: run `python3 dev.py lock`"


def test_who_can_develop_can_run_with_the_same_versions() -> None:
    assert pins(dev.RUN_LOCK).items() <= pins(dev.DEV_LOCK).items()


def test_the_wheel_brings_its_migrations(tmp_path: Path) -> None:
    built = tool("hatchling", "build", "--target", "wheel", "--directory", tmp_path)

    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, prefix in (("app", ""), ("migrations", "app/")):
        ours = {prefix + str(file.relative_to(dev.ROOT)) for file in (dev.ROOT / folder).rglob("*.py")}
        assert ours <= names
    assert not any(name.startswith(("tests", "migrations", "dev")) for name in names)


def test_the_dockerfile_is_clean() -> None:
    found = tool("hadolint", "Dockerfile")

    assert found.returncode == 0, found.stdout


def test_the_image_is_made_from_what_dockerignore_lets_through() -> None:
    let_through = set(re.findall(r"(?m)^!(\S+)", (dev.ROOT / ".dockerignore").read_text()))
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (dev.ROOT / "Dockerfile").read_text())

    assert {name for names in copied for name in names.split()} == let_through


def test_the_compose_file_follows_its_specification() -> None:
    found = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")

    assert found.returncode == 0, found.stdout


def test_the_compose_file_has_no_default_secret_and_the_example_names_each() -> None:
    compose = re.sub(r"(?m)^\s*#.*\n", "", (dev.ROOT / "docker-compose.yml").read_text())
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)([^}]*)\}", compose)

    assert {name for name, _ in secrets} == {"POSTGRES_PASSWORD", "IMAGEGATE_SECRET_KEY", "IMAGEGATE_UPSTREAM_API_KEY"}
    for name, rest in secrets:
        assert rest == f":?set {name} in .env"
        assert re.search(rf"(?m)^#? ?{name}=", (dev.ROOT / ".env.example").read_text()), name


def test_make_alone_prints_help_and_every_command_is_a_target() -> None:
    makefile = (dev.ROOT / "Makefile").read_text()
    targets = re.findall(r"(?m)^([a-z]+):", makefile)

    assert targets == ["help", *dev.COMMANDS]
    for command in dev.COMMANDS:
        assert f"dev.py {command}\n" in makefile
        assert f"python3 dev.py {command} " in str(dev.__doc__)


def test_the_list_of_licences_has_every_package_of_the_lock() -> None:
    listed = set(
        re.findall(r"(?m)^\| ([\w.-]+) \| \w", (dev.ROOT / "docs" / "licences.md").read_text(encoding="utf-8"))
    )
    locked = [Requirement(line.partition(" --hash")[0]) for line in entries(dev.RUN_LOCK)]
    here = {each.name for each in locked if each.marker is None or each.marker.evaluate()}

    assert here - listed == set(), "run: python3 dev.py sbom"
