"""imagegate users import: a team in few commands, and its keys in one file."""

import csv
import io

import httpx2
import pytest

from tests.cli.conftest import Cli
from tests.cli.targets import both_targets
from tests.sandbox_thread import sandbox_in_a_thread

NAMES = ("ada", "bo", "chen", "dilek", "eve", "fritz", "gwen", "hao", "ines", "jun", "kim", "lin")
PROJECTS = ("posters", "banners", "web")
TEAM = "name,mail,project,role,limits\n" + "".join(
    f"{name},{name}@example.com,{PROJECTS[number % 3]},,spend/month=20 images/day=10\n"
    for number, name in enumerate(NAMES)
)


def test_a_team_of_twelve_is_set_up_in_five_commands_and_buys(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_cli.folder / "people.csv").write_text(TEAM)
    with sandbox_in_a_thread() as relay, both_targets(empty_cli, monkeypatch, "data", relay) as targets:
        targets.here("users import people.csv --create-projects --keys keys.csv")
        for project in PROJECTS:
            targets.here(f"limits set --spend 100 --spend-per month --project {project}")

        keys = list(csv.DictReader(io.StringIO((empty_cli.folder / "keys.csv").read_text())))
        body = {"model": "seedream-3.0", "prompt": "a lighthouse"}
        bought = httpx2.post(
            f"{targets.url}/v1/images/generations",
            json=body,
            headers={"Authorization": f"Bearer {keys[7]['key']}"},
            timeout=60,
        )

    assert bought.status_code == 200 and bought.headers["x-imagegate-spend-remaining"] == "19.92"
    assert [key["name"] for key in keys] == list(NAMES) and {key["project"] for key in keys} == set(PROJECTS)


def test_the_keys_are_in_one_file_of_this_account_and_nowhere_else(cli: Cli) -> None:
    (cli.folder / "people.csv").write_text("name\nlin\n=bo")
    made = [cli("users import people.csv --keys", keys, *more) for keys, *more in (("k.csv",), ("again.csv", "--json"))]
    (cli.folder / "people.csv").write_text("name\nchen")
    made.append(cli("users import people.csv --json --keys chen.csv"))

    keys = cli.folder / "k.csv"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert keys.read_text().count("sk-ig-") == 2 and "\n'=bo," in keys.read_text()
    assert all("sk-ig-" not in done.out + done.err for done in made)
    assert made[0].err.endswith("2 keys are in k.csv and nowhere else: hand them out, then delete the file.\n")
    assert [line["created"] for line in made[1].json["data"]] == [[], []]
    assert not (cli.folder / "again.csv").exists()


def test_a_file_that_is_there_is_never_overwritten(cli: Cli) -> None:
    (cli.folder / "people.csv").write_text("name\nbo")
    (cli.folder / "k.csv").write_text("old")

    refused = cli("users import people.csv --keys k.csv --json", code=4)
    cli("users import people.csv --keys new.csv")
    repeated = cli("users import people.csv --keys k.csv")

    assert refused.error["param"] == "keys" and (cli.folder / "k.csv").read_text() == "old"
    assert "all of it is there already" in repeated.err


def test_a_refused_import_leaves_no_file_and_a_dry_run_makes_none(cli: Cli) -> None:
    (cli.folder / "people.csv").write_text("name,project\nbo,red")

    assert "--create-projects" in cli("users import people.csv --keys k.csv", code=2).err
    assert "--keys keys.csv" in cli("users import people.csv", code=2).err
    assert "cannot be made" in cli("users import people.csv --create-projects --keys no/k.csv", code=2).err
    assert "without --dry-run" in cli("users import people.csv --create-projects --dry-run").err
    (cli.folder / "gbk.csv").write_bytes("name\n林".encode("gbk"))
    assert "CSV UTF-8" in cli("users import gbk.csv --dry-run", code=2).err
    assert not (cli.folder / "k.csv").exists()
    assert [user["name"] for user in cli("users list --json").json["data"]] == ["lin"]
