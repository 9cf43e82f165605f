"""The admin key of commands for a gateway elsewhere: where it comes from, and what it may do."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Cli
from tests.cli.remote import Sides, both_sides, key_file

FORMS = ("", "--json")


@pytest.fixture
def sides(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    yield from both_sides(empty_cli, monkeypatch, "data")


def test_the_audit_log_names_the_admin_key(sides: Sides) -> None:
    sides.there("projects create red")

    [change] = sides.there("audit-log --event project.created --json").json["data"]

    assert (change["actor_kind"], change["actor"]) == ("admin_api_key", "far")


def test_a_reader_looks_and_is_told_what_it_takes_to_change(sides: Sides) -> None:
    reader = sides.there("admin-keys create --name looks --role reader --json").json["key"]

    assert sides.there("projects list", key=reader).out
    done = sides.there("projects create red --json", key=reader, code=1)

    assert done.error["code"] == "permission_denied" and "owner's key into IMAGEGATE_ADMIN_KEY" in done.err
    assert sides.here("projects list --json").json == sides.there("projects list --json").json


def test_a_wrong_key_is_told_with_the_cure_and_never_repeated(sides: Sides) -> None:
    for wrong in ("sk-ig-admin-wrong-wrong-wrong", sides.key[:-1] + ("x" if sides.key[-1] != "x" else "y")):
        for form in FORMS:
            done = sides.there(f"users list {form}", key=wrong, code=1)
            assert "IMAGEGATE_ADMIN_KEY" in done.err and "imagegate admin-keys create" in done.err
            assert wrong not in done.err + done.out


def test_a_key_for_afar_never_works_on_the_database_here(cli: Cli) -> None:
    file = key_file(cli)

    for form in FORMS:
        done = cli(f"users create bo {form} --admin-key-file", file, code=2)
        assert "Give --url or IMAGEGATE_URL; --url '' is here." in done.err
    assert [user["name"] for user in cli("users list --json").json["data"]] == ["lin"]
    assert cli(f"users list --admin-key-file {file} --url", "").out


def test_an_admin_key_made_from_afar_belongs_to_whom_the_calling_one_belongs(sides: Sides) -> None:
    sides.here("users create lin")
    key = sides.here("admin-keys create --name lins --user lin --json").json["key"]

    sides.there("admin-keys create --name far-too", key=key)
    sides.here("admin-keys create --name here-too")

    owners = {each["name"]: each["owner_name"] for each in sides.here("admin-keys list --json").json["data"]}
    assert (owners["far-too"], owners["here-too"]) == ("lin", None)
    assert "by default whose the calling key is" in " ".join(sides.here("admin-keys create --help").out.split())
