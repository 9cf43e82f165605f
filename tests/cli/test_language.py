"""Chinese words of the command line: none is missing, and what they are filled with agrees."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from typer._click.core import Command
from typer.core import TyperGroup

import app.cli
import dev
from app.cli.commands import app as root
from app.cli.language import display_width, is_chinese, table, translate
from app.cli.output import Column, Format, Output
from app.cli.root import run
from tests.cli.conftest import Cli
from tests.test_documentation import all_commands

FOLDER = Path(app.cli.__file__).parent
NOT_SAID = {
    "bold red",
    " --format json ",
    "Value error, ",
    " Try again.",
    ". The relay also sells <1>; price them as the relay does with: <3>",
    ". Relay <1> also sells <3>; price them as the relay does with: <5>",
    "id",
    "imagegate: <1>",
    "imagegate: <1>: <3>",
    "imagegate: <1> (<3>).",
    " and leads to <1>://<3>",
}
"""Texts with a space in them that are no sentence of their own."""
COMMANDS = {"command", "_command"}
"""Functions whose argument is words of a command line."""
CODE = re.compile(
    r"\w+ \| \w+|(Bearer|curl -sS|chmod| --[a-z-]+) .*|\^.*|imagegate <1>.*| +-H .*|`.*|import .*|\W*<0> <2>\W*|<0> <2><3> .*",
    re.DOTALL,
)
"""Types, headers, command lines and programs."""


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")


def helps(command: Command) -> Iterator[str]:
    yield from (
        " ".join(text.split())
        for text in (command.help, *(getattr(each, "help", None) for each in command.params))
        if text
    )
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            yield from helps(inner)


def sentences(module: Path) -> Iterator[str]:
    """List the strings of a module with a space in them, f-strings with `<1>`, `<2>` in place of what they are filled with."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    quiet = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    quiet |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    quiet |= {
        id(word)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node) in COMMANDS
        for word in node.args
    }
    for node in ast.walk(tree):
        if id(node) in quiet:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = _text(node)
        else:
            continue
        if " " in text.strip() and not CODE.fullmatch(text):
            yield text


def _text(node: ast.JoinedStr) -> str:
    parts = enumerate(node.values)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else f"<{n}>" for n, part in parts)


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def said_by_dev() -> Iterator[str]:
    """List what dev.py says, as `say` prints it."""
    tree = ast.parse(Path(dev.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) == "say" and isinstance(node.args[0], ast.JoinedStr):
            yield "imagegate: " + _text(node.args[0])


def columns(module: Path) -> Iterator[Column]:
    for value in vars(importlib.import_module(f"app.cli.{module.stem}")).values():
        if isinstance(value, tuple):
            yield from (each for each in value if isinstance(each, Column))


def said() -> set[str]:
    modules = [module for module in FOLDER.glob("*.py") if module.stem != "__init__"]
    texts = {*helps(typer.main.get_command(root)), *said_by_dev()}
    texts |= {text for module in (*modules, *FOLDER.parent.glob("control/doctor*.py")) for text in sentences(module)}
    for module in modules:
        for column in columns(module):
            texts |= {column.name.replace("_", " "), column.none, column.empty}
    return {text for text in texts if re.search("[a-z]{2}", text)}


def test_nothing_is_said_without_a_translation(chinese: None) -> None:
    untranslated = [text for text in said() - NOT_SAID if not re.search("[\u4e00-\u9fff]", translate(text))]

    assert not untranslated, "add them to app/cli/chinese.toml:\n" + "\n".join(sorted(untranslated))


def test_a_translation_is_filled_with_all_that_its_sentence_is(chinese: None) -> None:
    for english, translated in table().items():
        assert sorted(re.findall(r"{\w*}", english)) == sorted(re.findall(r"{\w*}", translated)), english
    for text in said():
        assert set(re.findall(r"<\d+>", text)) == set(re.findall(r"<\d+>", translate(text))), text


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ({"LC_ALL": "zh_CN.UTF-8"}, True),
        ({"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, True),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh"}, False),
        ({"LANG": "C.UTF-8", "LANGUAGE": "zh_CN"}, False),
        ({}, False),
    ],
)
def test_the_locale_chooses_the_language(
    monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], expected: bool
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
        monkeypatch.setenv(name, locale.get(name, ""))

    assert is_chinese() is expected


def test_help_is_chinese_and_fits_the_terminal(
    chinese: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    for command in ["", *all_commands()]:
        assert run([*command.split(), "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("用法: imagegate")
        assert "选项:" in out and "显示本说明。" in out
        assert max(map(display_width, out.splitlines())) <= 80, out
        assert not re.search("[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", out.partition("\n")[2]), out


def test_a_mistake_is_told_in_chinese_but_in_json_in_english(chinese: None, cli: Cli) -> None:
    assert cli("keys create", code=2).err == "imagegate: 缺少选项 '--user'。 用法见：imagegate keys create --help\n"
    assert "Missing option '--user'." in cli("keys create --json", code=2).error["message"]
    assert "'a stands for b'" in cli("--json keys show", "a stands for b", code=None).err
    assert "请指定范围" in cli("limits set --spend 1 --spend-per month", code=2).err
    assert "Name the scope" in cli("limits set --spend 1 --spend-per month --json", code=2).error["message"]
    assert cli("nonsense", code=2).err == "imagegate: 没有命令 'nonsense'。 用法见：imagegate --help\n"
    assert "用法见：imagegate admin-keys create --help" in cli("admin-keys create", code=2).err


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("keys revoke key_0123456789ab", 3),
        ("users create lin", 4),
        ("keys create --user lin --project nosuch", 3),
        ("keys create --user lin --expires soon", 2),
        ("limits set --user lin --spend much --spend-per month", 2),
        ("limits set --user lin --images 1.5 --images-per day", 2),
        ("prices set imagen4 --per-image much", 2),
        ("users create", 2),
        ("requests list --limit 0", 2),
        ("requests list --state gone", 2),
        ("requests show req_x", 3),
        ("usage --by nothing", 2),
        ("usage --since soon", 2),
        ("models remove gpt-image-1", 4),
        ("audit-log --limit many", 2),
        ("users invite nobody@", 4),
        ("admin-keys create --name x --role king", 2),
        ("service-accounts delete nobody", 3),
        ("keys list --status gone", 2),
        ("relays add a --base-url x", 2),
    ],
)
def test_a_refusal_is_chinese_but_in_json_english(chinese: None, cli: Cli, line: str, code: int) -> None:
    told = cli(line, code=code).err.splitlines()[-1]

    assert re.search("[\u4e00-\u9fff]", told), told
    assert not re.search("[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", re.sub("`[^`]*`|'[^']*'|用法见.*", "", told)), told
    assert cli(f"{line} --json", code=code).error["message"].isascii()


def test_the_audit_is_told_in_chinese(chinese: None, cli: Cli) -> None:
    assert "imagegate: 没有差异（请求数: 0, 更正: 0, " in cli("audit").err


@pytest.mark.parametrize(
    "text",
    [
        "/api/log/token answered 404. Until then `imagegate requests` settles them by hand.",
        "imagegate: the relay's account /api/usage/token/ cannot be had: NotSent",
        "Nothing is changed: the relay's log cannot be read; /api/log/token cannot be had: NotSent. What was spent since the "
        "backup would be missing in the book, and could be spent again. Look at the relay what this gateway has spent since "
        "2026-12-01, and say it: --spent AMOUNT, 0 for nothing.",
        "The relay cannot be reached: gaierror: no connection to http://localhost. Check the network and the address.",
        "The upstream does not accept this gateway's key (status 401). Nothing was charged. An administrator must check "
        "IMAGEGATE_UPSTREAM_API_KEY, or the relay's own key (`imagegate relays list`): whether it is right and enabled, its quota, "
        "models, group and allowed addresses.",
    ],
)
def test_trouble_with_a_relay_is_told_in_chinese(chinese: None, text: str) -> None:
    assert not re.search("[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", re.sub("`[^`]*`", "", translate(text))), translate(text)


def test_columns_line_up_whatever_their_width(
    chinese: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Output(Format.table, ZoneInfo("UTC"), "CNY")
    columns = (Column("name"), Column("project.name", heading="project"), Column("id"))
    people = [{"name": name, "project": {"name": "<"}, "id": "<"} for name in ("lin", "林黛玉", "ｗｉｄｅ")]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    out.table(columns, people)
    out.one(columns, people[1])

    lines = capsys.readouterr().out.splitlines()
    assert len({display_width(line.partition("<")[0]) for line in lines[3:6]}) == 1, lines
    values = zip(lines[-3:], ("林黛玉", "<", "<"), strict=True)
    assert {display_width(line) - display_width(value) for line, value in values} == {6}, lines
