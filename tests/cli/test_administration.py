"""The commands around the administration API."""

import pytest

from tests.cli.conftest import Cli


def test_an_admin_key_is_made_listed_and_revoked(cli: Cli) -> None:
    made = cli("admin-keys create --name office --user lin --json").json
    assert made["key"].startswith("sk-ig-admin-")
    plain = cli("admin-keys create --name second --role reader")
    assert plain.out.startswith("sk-ig-admin-") and "never shown again" in plain.err

    listed = cli("admin-keys list --json").json["data"]

    assert [(key["name"], key["role"], key["owner"]["name"]) for key in listed] == [
        ("office", "owner", "lin"),
        ("second", "reader", None),
    ]
    assert made["key"] not in cli("admin-keys list").out
    assert f"The admin key {made['id']} is revoked." in cli("admin-keys revoke", made["id"]).err
    assert [key["name"] for key in cli("admin-keys list --json").json["data"]] == ["second"]
    assert cli("admin-keys revoke --json", made["id"], code=3).error["code"] == "not_found"
    assert cli("admin-keys create --name x --role king --json", code=2).error["param"] == "role"


def test_a_project_is_archived(cli: Cli) -> None:
    cli("projects create red")

    assert cli("projects archive red --json").json["archived_at"] is not None
    cli("keys create --user lin --project red", code=4)
    cli("projects archive default", code=4)
    cli("projects archive blue", code=3)


def test_a_service_account_is_made_listed_and_deleted(cli: Cli) -> None:
    made = cli("service-accounts create ci --json").json
    assert made["key"].startswith("sk-ig-") and made["role"] == "member"

    assert [each["name"] for each in cli("service-accounts list --project default --json").json["data"]] == ["ci"]
    assert [key["owner"]["service_account"]["name"] for key in cli("keys list --json").json["data"]] == ["ci"]
    cli("limits set --spend 5 --spend-per month --user", made["id"])
    assert "The service account ci is deleted." in cli("service-accounts delete ci").err
    assert cli("service-accounts list --json").json["data"] == []
    assert cli("keys show --json", made["key_id"]).json["status"] == "revoked"
    assert [user["name"] for user in cli("users list --json").json["data"]] == ["lin"]


def test_a_key_is_rotated_and_stays_the_same_key(cli: Cli) -> None:
    made = cli("keys create --user lin --json").json

    rotated = cli("keys rotate --grace 7d --json", made["id"]).json

    assert rotated["id"] == made["id"] and rotated["key"] != made["key"]
    assert len(cli("keys list --json").json["data"]) == 1
    assert cli("keys rotate", made["id"], "--grace", "soon", code=2).err
    cli("keys revoke", made["id"])
    cli("keys rotate --leaked", made["id"], code=4)


def test_a_rotation_says_what_becomes_of_the_old_secret(cli: Cli) -> None:
    made = cli("keys create --user lin --json").json

    assert "Give one of the two: --leaked" in cli("keys rotate", made["id"], code=2).err
    assert "--leaked" in cli("keys rotate --leaked --grace 1d", made["id"], code=2).err
    assert "has stopped working" in cli("keys rotate --leaked", made["id"]).err


def test_a_key_is_renamed_extended_and_found_by_its_owner(cli: Cli) -> None:
    made = cli("keys create --user lin --json").json
    cli("users create mei")
    cli("keys create --user mei")

    assert cli("keys rename --json", made["id"], "banners").json["name"] == "banners"
    assert cli("keys extend --expires 48h --json", made["id"]).json["expires_at"] is not None
    assert [key["id"] for key in cli("keys list --user lin --json").json["data"]] == [made["id"]]
    assert cli("keys list --status revoked --json").json["data"] == []
    assert "'revoked'" in cli("keys list --status gone --json", code=2).err
    assert cli("keys list --unused-since 2020-01-01 --json").json["data"] == []
    cli("projects create red")
    assert cli("keys move --project red --user mei --json", made["id"]).json["project"]["name"] == "red"
    assert [key["id"] for key in cli("keys list --project red --user mei --json").json["data"]] == [made["id"]]


def test_a_deleted_user_is_gone_and_the_name_is_free(cli: Cli) -> None:
    key = cli("keys create --user lin --json").json

    assert "The user lin is deleted." in cli("users delete lin").err

    assert cli("users list --json").json["data"] == []
    assert cli("keys show --json", key["id"]).json["status"] == "revoked"
    cli("users disable lin", code=3)
    cli("users create lin")


def test_an_invitation_says_whom_the_link_is_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_PUBLIC_URL", "https://images.example.com")
    cli("users create ada")

    new = cli("users invite ada@example.com").err
    known = cli("users invite ada@example.com").err
    cli("users delete", "ada 2")
    cli("users invite ada@example.com --name ada")

    assert "The link is for ada 2, a new user." in new and "The link is for the user ada 2." in known
    assert "imagegate users delete 'ada 2', then imagegate users invite ada@example.com --name ada" in new
    assert "without an address" not in known
    assert [user["email"] for user in cli("users list --json").json["data"]] == [None, "ada@example.com"]
    assert "is that of the user 'ada'" in cli("users invite ada@example.com --name lin", code=4).err
    session = cli("sessions list --json").json["data"]
    assert session == [] and cli("sessions revoke sess_nothing", code=3).out == ""


def test_the_audit_log_tells_who_changed_what(cli: Cli) -> None:
    cli("projects create red")
    cli("limits set --project red --spend 5 --spend-per month")
    cli("limits set --project red --spend 7 --spend-per month")

    newest, *older = cli("audit-log --json").json["data"]

    actor = newest["actor"]
    assert (newest["event"], actor["kind"], newest["project"]["name"]) == ("limit.updated", "cli", "red")
    assert "\tred\tamount: 5000000 -> 7000000\n" in cli("audit-log").out
    assert [each["event"] for each in older] == ["limit.updated", "project.created", "user.added"]
    assert actor["name"] and actor["session"]["user"]["id"] == f"cli:{actor['name']}"
    assert len(cli("audit-log --limit 1 --json").json["data"]) == 1
    assert [each["event"] for each in cli("audit-log --event project.created --json").json["data"]] == [
        "project.created"
    ]
    assert "limit.updated" in cli("audit-log").out


def test_the_secret_of_an_admin_key_is_not_in_the_database(cli: Cli) -> None:
    made = cli("admin-keys create --name office --json").json

    assert made["key"].encode() not in (cli.data / "imagegate.db").read_bytes()
