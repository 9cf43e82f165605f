"""Commands that cannot be undone, or that stop somebody's work, ask on a terminal and nowhere else."""

import io
from typing import Any

import pytest
import typer.main

from app.cli.commands import app
from app.control.invitations import accept_invitation, invite
from app.store.engine import Database
from tests.cli.conftest import Cli
from tests.cli.test_pictures import FIRST, two_pictures

DESTRUCTIVE = ("delete", "remove", "revoke", "archive", "disable", "rotate", "alias", "erase")
LINES = (
    "models alias poster --remove",
    "prices remove price_5",
    "models remove typo",
    "alerts delete {alert}",
    "keys rotate {key} --leaked",
    "keys revoke {key}",
    "admin-keys revoke {admin_key}",
    "service-accounts delete {account}",
    "users disable lin",
    "users delete lin",
    "projects archive red",
    "pictures delete {picture}",
    "sessions revoke {session}",
    "users erase ann",
    "relays disable second",
    "relays remove second",
)


class Terminal(io.StringIO):
    """Somebody at a terminal, who types this."""

    def isatty(self) -> bool:
        return True


def types(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))


@pytest.fixture
def lines(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines, with ids of what there is to destroy."""
    key = cli("keys create --user lin --json").json["id"]
    cli.database(two_pictures)
    sessions: list[str] = []

    async def sign_in(database: Database) -> None:
        invitation = await invite(database, "ann@example.com", "reader", "ann")
        sessions.append((await accept_invitation(database, invitation.token, "a long password", "Firefox")).id)

    cli.database(sign_in)
    cli("prices set typo --per-image 99")
    cli("prices set typo --per-image 9")
    cli("models alias poster gpt-image-1")
    cli("projects create red")
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-a-key-of-the-second"))
    cli("relays add second --base-url https://relay.example.com --key-stdin")
    ids = {
        "alert": cli("alerts create --user lin --images 5 --webhook https://8.8.8.8/hook --json").json["id"],
        "key": key,
        "picture": FIRST,
        "session": sessions[0],
        "admin_key": cli("admin-keys create --name office --json").json["id"],
        "account": cli("service-accounts create ci --json").json["id"],
    }
    return [line.format(**ids) for line in LINES]


def test_no_leaves_everything_and_yes_does_it(cli: Cli, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = cli("audit-log").out
    for line in lines:
        for answer in ("n\n", "\n", ""):
            types(monkeypatch, answer)
            refused = cli(line, code=1)
            assert "? [y/N] " in refused.err, (line, refused)
            assert refused.out == "" or line.startswith("users erase"), line  # It shows first what it would erase.
    assert cli("audit-log").out == before

    for line in lines:
        types(monkeypatch, "y\n")
        assert "? [y/N] " in cli(line).err, line


def test_the_option_and_a_script_are_not_asked(cli: Cli, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for number, line in enumerate(lines):
        monkeypatch.setattr("sys.stdin", Terminal() if number % 2 else io.StringIO())
        assert "[y/N]" not in cli(line, *(["--yes"] if number % 2 else [])).err, line


def test_the_question_names_what_is_meant(cli: Cli, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    types(monkeypatch, "n\n")
    key = cli("keys list --user lin --json").json["data"][0]["id"]

    assert f"Revoke the key {key} (lin; lin, default) for good? [y/N] " in cli("keys revoke", key, code=1).err
    types(monkeypatch, "n\n")
    assert "Nothing is changed." in cli("users delete lin --json", code=1).err


def test_every_destructive_command_can_be_told_yes() -> None:
    root: Any = typer.main.get_command(app)
    found = {
        f"{group} {name}": [option for each in command.params for option in each.opts]
        for group, inner in root.commands.items()
        for name, command in getattr(inner, "commands", {}).items()
        if name in DESTRUCTIVE
    }

    assert len(found) == len(LINES)
    assert [name for name, options in found.items() if "--yes" not in options] == []
