"""The admin key of commands for a gateway elsewhere: where it comes from, and what it may do."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Cli
from tests.cli.targets import Targets, both_targets, key_file

FORMS = ("", "--json")


@pytest.fixture
def targets(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Targets]:
    with both_targets(empty_cli, monkeypatch, "data", "http://127.0.0.1:9") as both:
        yield both


def test_the_audit_log_names_the_admin_key(targets: Targets) -> None:
    targets.there("projects create red")

    [change] = targets.there("audit-log --event project.created --json").json["data"]

    assert (change["actor"]["kind"], change["actor"]["name"]) == ("admin_api_key", "far")


def test_a_reader_looks_and_is_told_what_it_takes_to_change(targets: Targets) -> None:
    reader = targets.there("admin-keys create --name looks --role reader --json").json["key"]

    assert targets.there("projects list", key=reader).out
    done = targets.there("projects create red --json", key=reader, code=1)

    assert done.error["code"] == "permission_denied" and "owner's key into IMAGEGATE_ADMIN_KEY" in done.err
    assert targets.here("projects list --json").json == targets.there("projects list --json").json


def test_a_wrong_key_is_told_with_the_cure_and_never_repeated(targets: Targets) -> None:
    for wrong in ("sk-ig-admin-wrong-wrong-wrong", targets.key[:-1] + ("x" if targets.key[-1] != "x" else "y")):
        for form in FORMS:
            done = targets.there(f"users list {form}", key=wrong, code=1)
            assert "IMAGEGATE_ADMIN_KEY" in done.err and "imagegate admin-keys create" in done.err
            assert wrong not in done.err + done.out


def test_a_key_for_afar_never_works_on_the_database_here(cli: Cli) -> None:
    file = key_file(cli)

    for form in FORMS:
        done = cli(f"users create bo {form} --admin-key-file", file, code=2)
        assert "Give --url or IMAGEGATE_URL; --url '' is here." in done.err
    assert [user["name"] for user in cli("users list --json").json["data"]] == ["lin"]
    assert cli(f"users list --admin-key-file {file} --url", "").out


def test_an_admin_key_made_from_afar_belongs_to_whom_the_calling_one_belongs(targets: Targets) -> None:
    targets.here("users create lin")
    key = targets.here("admin-keys create --name lins --user lin --json").json["key"]

    targets.there("admin-keys create --name far-too", key=key)
    targets.here("admin-keys create --name here-too")

    owners = {each["name"]: each["owner"]["name"] for each in targets.here("admin-keys list --json").json["data"]}
    assert (owners["far-too"], owners["here-too"]) == ("lin", None)
    assert "By default the owner of the calling" in " ".join(targets.here("admin-keys create --help").out.split())
