"""What every command has in common: where it works, how it prints, how it fails."""

import sqlite3

import pytest

from app.store.lock import locked
from tests.cli.conftest import Cli


def test_the_common_options_stand_before_or_after_the_command(empty_cli: Cli) -> None:
    empty_cli("--data-dir other --sandbox db upgrade")
    empty_cli("users --help")
    assert "Only the sandbox has one" in empty_cli("usage --data-dir other", code=1).err
    assert "sandbox" not in empty_cli("usage --data-dir wrong", code=1).err

    for line in ("users list --json --sandbox --data-dir other", "--data-dir other --json --sandbox users list"):
        assert empty_cli(line).json["data"] == []
    assert empty_cli("--data-dir wrong users list --data-dir other --sandbox --format json").json["data"] == []


def test_the_sandbox_has_a_book_of_its_own_whatever_the_environment_says(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEGATE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/nothing")
    monkeypatch.setenv("IMAGEGATE_SECRET_KEY", "7d0c2f6b9a8e41537d0c2f6b9a8e4153")
    cli("db upgrade --sandbox")
    cli("users create toy --sandbox")
    cli("keys create --user toy --sandbox")
    monkeypatch.delenv("IMAGEGATE_DATABASE_URL")

    assert [user["name"] for user in cli("users list --sandbox --json").json["data"]] == ["toy"]
    assert [user["name"] for user in cli("users list --json").json["data"]] == ["lin"]
    assert sorted(path.name for path in (cli.data / "sandbox").glob("[is]*")) == [
        "imagegate.db",
        "imagegate.lock",
        "secret_key",
    ]
    assert (cli.data / "secret_key").read_text() != (cli.data / "sandbox" / "secret_key").read_text()


def test_every_command_says_where_it_works_on_stderr(cli: Cli) -> None:
    cli("db upgrade --sandbox")

    for line in ("users list", "users list --json", "usage", "db current", "limits show --json"):
        assert f"using {cli.data}\n" in cli(line).err
        assert f"using {cli.data / 'sandbox'} (sandbox)\n" in cli(f"{line} --sandbox").err


def test_a_password_is_never_printed(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_DATABASE_URL", "postgresql://u:hush-hush@127.0.0.1:1/nothing")

    for line in ("users list", "users list --json"):
        done = empty_cli(line, code=1)
        assert "hush-hush" not in done.err + done.out
        assert "127.0.0.1:1/nothing" in done.err


def test_on_postgresql_the_same_commands_work(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str
) -> None:
    monkeypatch.setenv("IMAGEGATE_DATABASE_URL", empty_postgres_url)
    assert "db upgrade" in empty_cli("users list", code=1).err
    empty_cli("db upgrade")
    empty_cli("users create lin")
    empty_cli("users create lin", code=4)
    empty_cli("limits set --user lin --spend 1 --spend-per week")

    shown = empty_cli("limits show --json")

    assert shown.json["data"][0]["left"] == 1_000_000
    assert "using postgresql://" in shown.err
    assert not (empty_cli.data / "imagegate.db").exists()


def test_printed_commands_lead_to_the_same_home(empty_cli: Cli) -> None:
    missing = empty_cli("users list --sandbox --data-dir", "my data", code=1)
    assert "`imagegate db upgrade --sandbox --data-dir 'my data'`" in missing.err

    empty_cli("db upgrade --sandbox --data-dir", "my data")
    created = empty_cli("users create lin --sandbox --data-dir", "my data")
    assert "imagegate keys create --user lin --sandbox --data-dir 'my data'" in created.err


def test_without_a_database_nothing_is_made(empty_cli: Cli) -> None:
    for line in ("users list", "keys create --user lin", "usage", "doctor", "limits show"):
        empty_cli(line, code=None)

    assert empty_cli("users list --json", code=1).error["code"] == "configuration_error"
    assert not (empty_cli.data / "imagegate.db").exists()


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("users create lin", 4, "conflict"),
        ("users disable bo", 3, "not_found"),
        ("keys show key_x", 3, "not_found"),
        ("requests show req_x", 3, "not_found"),
        ("limits show --project red", 3, "not_found"),
        ("users create user-x", 2, "invalid_value"),
        ("keys create --user lin --expires never", 2, "invalid_value"),
        ("keys create --user lin --models ,", 2, "invalid_value"),
        ("keys create", 2, "invalid_usage"),
        ("users create", 2, "invalid_usage"),
        ("users lost", 2, "invalid_usage"),
        ("lost", 2, "invalid_usage"),
        ("users list --lost", 2, "invalid_usage"),
        ("users list --format yaml", 2, "invalid_usage"),
        ("requests list --limit x", 2, "invalid_usage"),
        ("requests list --limit 0", 2, "invalid_usage"),
        ("usage --by planet", 2, "invalid_value"),
        ("usage --since tomorrow", 2, "invalid_value"),
        ("limits set --user lin", 2, "invalid_value"),
        ("limits set --spend 1 --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --organization --spend 1 --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --everyone --spend 1 --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --spend 1", 2, "invalid_value"),
        ("limits set --user lin --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --spend 1 --spend-per year", 2, "invalid_usage"),
        ("limits set --user lin --spend 1.234 --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --spend -1 --spend-per day", 2, "invalid_value"),
        ("limits set --user lin --images 1.5 --images-per day", 2, "invalid_value"),
        ("limits set --user lin --concurrent many", 2, "invalid_value"),
        ("prices set new", 2, "invalid_value"),
        ("prices set new --per-image free", 2, "invalid_value"),
        ("prices set new --per-image 1 --ceiling-per-image 1", 2, "invalid_value"),
        ("prices set new --per-million-output 1", 2, "invalid_value"),
        ("prices set new --per-image 1 --operation paint", 2, "invalid_usage"),
    ],
)
def test_errors_are_told_on_stderr_in_the_apis_shape_with_a_fixed_exit_code(
    cli: Cli, line: str, code: int, error: str
) -> None:
    for form in ("--json", "--format json", "--format=json"):
        if form == "--json" or "--format" not in line:
            assert cli(f"{line} {form}", code=code).error["code"] == error
    plain = cli(line, code=code)
    assert (plain.out, plain.err[:11]) == ("", "imagegate: ")


def test_only_usage_writes_csv(cli: Cli) -> None:
    assert "only `imagegate usage`" in cli("users list --format csv", code=2).err


def test_an_older_schema_is_told_with_the_command_that_mends_it(cli: Cli) -> None:
    with sqlite3.connect(cli.data / "imagegate.db") as database:
        database.execute("DELETE FROM alembic_version")
    database.close()

    assert "`imagegate db upgrade`" in cli("users list", code=1).err


def test_a_newer_schema_is_left_alone(cli: Cli) -> None:
    with sqlite3.connect(cli.data / "imagegate.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    for line in ("users list", "db upgrade"):
        assert "newer" in cli(line, code=1).err
    assert cli("db current --json").json["current"] == "9999"


def test_another_currency_than_the_books_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("keys create --user lin")
    monkeypatch.setenv("IMAGEGATE_CURRENCY", "USD")

    assert "set IMAGEGATE_CURRENCY=CNY" in cli("limits show", code=1).err


def test_a_wrong_setting_is_told_without_its_value(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_TIMEZONE", "Mars")

    assert "IMAGEGATE_TIMEZONE" in empty_cli("users list --json", code=1).error["message"]


def test_the_schema_does_not_change_under_a_server_and_everything_else_works_beside_it(cli: Cli) -> None:
    with locked(cli.data):
        assert "Another imagegate" in cli("db upgrade", code=1).err
        cli("users create bo")
