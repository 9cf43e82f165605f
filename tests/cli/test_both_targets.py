"""Every command gives the same output for the gateway on this machine and for one elsewhere."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from app.cli.commands import app
from app.control.people import create_user
from app.control.service_accounts import NewServiceAccount, create_service_account
from app.store.engine import Database
from app.store.organization import list_users
from tests.administration import list_keys
from tests.cli.compared_lines import BOOK, BOOK_HERE, KEYS_FILE, PEOPLE, READS, SEED, WRITES
from tests.cli.conftest import Cli, Done
from tests.cli.targets import LOCAL_ONLY, Masks, Targets, both_targets, key_file
from tests.databases import insert_refusal, insert_request, insert_usage
from tests.gateways import PEPPER, RELAY_KEY
from tests.sandbox_thread import sandbox_in_a_thread

SECOND_KEY = "sk-of-the-second-relay"
SENT_AT_MS = 1_795_000_000_000


@pytest.fixture
def relay(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A relay that a gateway and the commands here may ask; two price books, and a file of people."""
    (empty_cli.folder / "people.csv").write_text(PEOPLE)
    (empty_cli.folder / "book.yaml").write_text(BOOK)
    (empty_cli.folder / "dollars.yaml").write_text(BOOK.replace("CNY", "USD"))
    with sandbox_in_a_thread() as url:
        monkeypatch.setenv("IMAGEGATE_UPSTREAM_BASE_URL", url)
        monkeypatch.setenv("IMAGEGATE_UPSTREAM_API_KEY", RELAY_KEY)
        monkeypatch.setenv("IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL", "true")
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECOND_KEY}\n" * 100))
        yield url


@pytest.fixture
def targets(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, relay: str) -> Iterator[Targets]:
    """Both on one database, the data directory of `cli`."""
    with both_targets(empty_cli, monkeypatch, "data", relay) as both:
        yield both


@pytest.mark.parametrize("form", [pytest.param("", marks=pytest.mark.slow), "--json"])
def test_whatever_is_read_looks_the_same_from_another_machine(targets: Targets, form: str) -> None:
    masks = Masks()
    for line in SEED.splitlines():
        done = targets.here(masks.filled(line))
        masks.masked(done.out + done.err)
    targets.cli.database(_book)

    for line in READS.splitlines():
        command = masks.filled(line if "csv" in line else f"{line} {form}")
        here, there = targets.here(command, code=None), targets.there(command, code=None)
        assert (there.code, there.out) == (here.code, here.out), command
        assert _words(there) == _words(here), command


async def _book(database: Database) -> None:
    """Usage of two days, three requests whose outcome is unknown, and a refusal."""
    await insert_usage(database, model="gpt-image-1", cost_micros=1_234_567, day="2026-11-20", size="1024x1024")
    await insert_usage(database, model="seedream-3.0", cost_micros=80_000, day="2026-11-21", images=2, quality="=high")
    users = await database.ask(list_users)
    user = next(user.id for user in users if user.name == "lin")
    key = next(key.id for key in await list_keys(database) if key.user == "lin")
    for number in (1, 2, 3):
        sent = {"state": "unknown", "dispatched_at_ms": SENT_AT_MS, "reserved_at_ms": SENT_AT_MS, "http_status": 424}
        await insert_request(database, user, key, id=f"req_{number}", **sent)
    await insert_refusal(database, user, key, id="req_refused")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["", "--json"])
def test_whatever_is_changed_from_another_machine_is_told_as_if_it_were_done_here(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, relay: str, form: str
) -> None:
    with both_targets(empty_cli, monkeypatch, "there", relay) as targets:
        monkeypatch.setenv("IMAGEGATE_DATA_DIR", str(empty_cli.folder / "here"))
        empty_cli("db upgrade")
        empty_cli("admin-keys create --name far")
        ours, theirs = Masks(), Masks()

        for number, line in enumerate(WRITES.splitlines()):
            if line == BOOK_HERE:
                for folder in ("here", "there"):
                    empty_cli.database(_book, folder)
                continue
            here_done = targets.here(f"{ours.filled(line)} {form}", code=None)
            (empty_cli.folder / KEYS_FILE).unlink(missing_ok=True)
            there_done = targets.there(f"{theirs.filled(line)} {form}", code=None)
            (empty_cli.folder / KEYS_FILE).unlink(missing_ok=True)
            assert _masked(there_done, theirs) == _masked(here_done, ours), (number, line)

        assert len(ours.seen) > 9
        for line in ("users list", "keys list", "limits show", "alerts list", "prices list", "models list"):
            here_done, there_done = targets.here(f"{line} --json"), targets.there(f"{line} --json")
            assert _masked(there_done, theirs) == _masked(here_done, ours), line


def _masked(done: Done, masks: Masks) -> tuple[int, str, str]:
    return done.code, masks.masked(done.out), masks.masked(_words(done))


def _words(done: Done) -> str:
    """The lines of stderr, without the one that names the target."""
    lines = [line for line in done.err.splitlines() if not line.startswith("imagegate: using ")]
    return "\n".join(json.dumps(json.loads(line)["error"]) if line.startswith("{") else line for line in lines)


def test_every_command_is_compared_or_belongs_to_this_machine() -> None:
    lines = [*(SEED + READS + WRITES).splitlines(), *LOCAL_ONLY, "doctor"]

    never = [name for name in _commands() if not any(line.startswith(name) for line in lines)]

    assert never == []
    assert len(_commands()) > 40


def _commands() -> list[str]:
    root: Any = typer.main.get_command(app)
    return [
        f"{name} {inner}".strip()
        for name, command in root.commands.items()
        for inner in getattr(command, "commands", {"": None})
    ]


def test_the_doctor_finds_the_same_here_and_from_another_machine(targets: Targets) -> None:
    here, there = targets.here("doctor --json").json, targets.there("doctor --json").json

    assert here.keys() == there.keys() == {"object", "findings"}
    for one, other in zip(here["findings"], there["findings"], strict=True):
        assert (one["check"], one["status"]) == (other["check"], other["status"])
    assert targets.there("doctor").err.endswith("to look at.\n")


def test_the_url_and_the_key_may_be_options_and_printed_commands_keep_them(targets: Targets) -> None:
    file = key_file(targets.cli, targets.key)
    targets.monkeypatch.setenv("IMAGEGATE_DATA_DIR", "nowhere")

    made = targets.cli("users create lin --admin-key-file", file, "--url", f"{targets.url}/v1/")
    again = targets.cli("users --help")
    missing = targets.cli("--url", targets.url, "--admin-key-file", file, "users", "disable", "bo", code=3)

    flags = f"--url {targets.url}/v1/ --admin-key-file {file}"
    assert f"imagegate keys create --user lin {flags}" in made.err and f"using {targets.url}\n" in made.err
    assert f"`imagegate users list {flags.replace('/v1/', '')}`" in missing.err
    assert again.out and not (targets.cli.folder / "nowhere").exists()


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(targets: Targets) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        targets.monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert targets.there("users list").out


def test_a_name_that_cannot_stand_in_a_url_is_refused_and_its_id_works(targets: Targets) -> None:
    made = targets.there("projects create --json", "a/b").json

    for run in (targets.here, targets.there):
        assert "give its id" in run("projects archive a/b", code=2).err
    assert targets.there("projects archive --json", made["id"]).json["archived_at"] is not None
    assert targets.there("users create --json", "林 #1?%2F").json["name"] == "林 #1?%2F"
    assert targets.there("users disable --json", "林 #1?%2F").json["disabled"] is True


def test_long_lists_are_read_to_their_end(targets: Targets) -> None:
    targets.cli.database(_crowd)

    assert len(targets.there("users list --json").json["data"]) == 205
    for line in ("keys list", "service-accounts list"):
        here, there = (run(f"{line} --json").json["data"] for run in (targets.here, targets.there))
        assert here == there and len(here) == 101
    for limit in (1, 101, 1000):
        lines = [run(f"audit-log --json --limit {limit}").out for run in (targets.here, targets.there)]
        assert lines[0] == lines[1]


async def _crowd(database: Database) -> None:
    for number in range(101):
        await create_service_account(database, PEPPER, "default", NewServiceAccount(f"robot {number:03}"))
    for number in range(205):
        await create_user(database, f"user {number:03}")
