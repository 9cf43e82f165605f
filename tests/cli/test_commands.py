"""Every command, what it prints and what it leaves behind."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.control.project_keys import KeyChange, change_project_key
from app.errors import StorageFull
from app.store.engine import Database
from tests.administration import list_keys
from tests.cli.conftest import Cli
from tests.databases import insert_refusal, insert_request, insert_usage


def names(data: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in data]


def test_users_are_created_listed_disabled_and_enabled(cli: Cli) -> None:
    bo = cli("users create bo --email bo@example.com --json").json

    assert bo["id"].startswith("user-")
    assert (bo["name"], bo["email"], bo["disabled"]) == ("bo", "bo@example.com", False)
    assert names(cli("users list --json").json["data"]) == ["lin", "bo"]
    assert cli(f"users disable {bo['id']} --json").json["disabled"] is True
    assert cli("users enable bo --json").json["disabled"] is False
    lines = dict(line.split("\t") for line in cli("users disable bo").out.splitlines())
    assert (
        datetime.fromisoformat(lines["created at"]).utcoffset()
        == datetime.fromisoformat(lines["disabled at"]).utcoffset()
    )


def test_projects_are_created_and_listed(cli: Cli) -> None:
    assert cli("projects create red --json").json["id"].startswith("proj_")
    assert names(cli("projects list --json").json["data"]) == ["default", "red"]


def test_a_key_is_printed_once_and_only_it_on_stdout(cli: Cli) -> None:
    done = cli("keys create --user lin --name laptop --expires 90d --models gpt-image-1,imagen4")

    assert done.out.startswith("sk-ig-") and done.out.count("\n") == 1
    secret = done.out.strip()
    for line in ("keys list --json", "keys list"):
        assert secret not in cli(line).out
    assert secret.encode() not in (cli.data / "imagegate.db").read_bytes()


def test_scripts_find_id_and_key_of_a_created_key(cli: Cli) -> None:
    created = cli("keys create --user lin --json").json

    assert created["key"] == created["value"] and created["key"].startswith("sk-ig-")
    shown = cli(f"keys show {created['id']} --json").json
    assert (shown["owner"]["user"]["name"], shown["project"]["name"], shown["models"]) == ("lin", "default", None)
    assert (shown["status"], shown["redacted_value"][-4:]) == ("active", created["key"][-11:-7])
    assert cli(f"keys revoke {created['id']} --json").json["status"] == "revoked"


def test_a_read_only_key_is_told_from_one_that_may_use_every_model(cli: Cli) -> None:
    for name in ("looks", "buys"):
        cli(f"keys create --user lin --name {name}")
    cli.database(_read_only)

    lines = cli("keys list").out.splitlines()

    shown = {line.split("\t")[1]: line.split("\t")[5] for line in lines[1:]}
    assert shown == {"looks": "none (read-only)", "buys": "all"}
    assert {key["name"]: key["models"] for key in cli("keys list --json").json["data"]} == {"looks": [], "buys": None}


async def _read_only(database: Database) -> None:
    [key] = [key for key in await list_keys(database) if key.name == "looks"]
    await change_project_key(database, key.project_id, key.id, KeyChange(read_only=True))


def test_limits_are_set_shown_and_removed(cli: Cli) -> None:
    cli("limits set --user lin --spend 12.50 --spend-per month --images 100 --images-per day --requests-per-minute 10")
    cli("limits set --user lin --concurrent 2 --requests 500 --requests-per week --images-per-minute 30")
    cli("limits set --organization --spend 100 --spend-per lifetime --model gpt-image-1")

    by = {(limit["unit"], limit["interval"]): limit for limit in cli("limits show --user lin --json").json["data"]}
    month, rate = by["micros", "month"], by["requests", "minute"]
    assert (month["amount"], month["spent"], month["held"], month["left"]) == (12_500_000, 0, 0, 12_500_000)
    assert (month["scope"], month["scope_name"], month["model"]) == ("user", "lin", None)
    [line] = [line for line in cli("limits show --user lin").out.splitlines() if "\tmonth\t" in line]
    assert line.split("\t")[2:6] == ["12.50 CNY", "0.00 CNY", "0.00 CNY", "12.50 CNY"]
    assert datetime.fromisoformat(line.split("\t")[6]).day == 1
    assert (rate["amount"], rate["spent"], rate["resets_at"]) == (10, None, None)
    assert {key: limit["amount"] for key, limit in by.items() if key != ("micros", "month")} == {
        ("images", "day"): 100,
        ("requests", "minute"): 10,
        ("in_flight", "lifetime"): 2,
        ("requests", "week"): 500,
        ("images", "minute"): 30,
    }
    cli("limits set --user lin --spend none --spend-per month --concurrent none")
    assert len(cli("limits show --user lin --json").json["data"]) == 4
    assert len(cli("limits show --json").json["data"]) == 5
    assert "No limit is left" in cli("limits set --user lin --model imagen4 --images none --images-per day").err
    [everybody] = cli("limits show --organization --json").json["data"]
    assert (everybody["model"], everybody["scope_id"]) == ("gpt-image-1", None)


def test_a_default_is_shown_once_and_with_everyone_s_use_on_demand(cli: Cli) -> None:
    cli("users create bo")
    cli("limits set --user bo --images 7 --images-per day")
    cli("limits set --everyone --images 20 --images-per day")
    cli("limits set --everyone --project default --concurrent 2")

    def shown(line: str) -> list[list[str]]:
        return [row.split("\t")[:3] for row in cli(line).out.splitlines()[1:]]

    default = ["default daily image quota of everyone", "day", "20"]
    at_once = ["default limit of concurrent requests of everyone in project default", "at once", "2"]
    own, lin = ["daily image quota of user bo", "day", "7"], ["default daily image quota of user lin", "day", "20"]
    assert shown("limits show") == [default, at_once, own]
    assert "Left out: 1 that users have from defaults." in cli("limits show").err
    assert shown("limits show --everyone") == [default, own, lin]
    assert shown("limits show --everyone --project default") == [at_once]
    assert len(cli("limits show --json").json["data"]) == 4
    assert "The default limits hold for this user." in cli("users create aki").err
    cli("limits set --everyone --images none --images-per day")
    assert shown("limits show") == [at_once, own]


def test_limits_of_projects_and_keys_go_by_name_and_id(cli: Cli) -> None:
    key = cli("keys create --user lin --json").json["id"]
    cli("limits set --project default --images 1 --images-per day")
    cli(f"limits set --key {key} --images 2 --images-per day")

    assert [limit["amount"] for limit in cli("limits show --project proj_default --json").json["data"]] == [1]
    assert [limit["scope_id"] for limit in cli(f"limits show --key {key} --json").json["data"]] == [key]


def test_prices_are_set_and_listed_with_those_in_force_marked(cli: Cli) -> None:
    cli("prices set gpt-image-1 --per-image 0.5 --size 1024x1024 --quality high --operation edit --from 2099-12-01")
    cli(
        "prices set imagen4 --per-million-input-text 5 --per-million-input-image 10 --per-million-output 40",
        "--ceiling-per-image",
        "1.5",
    )

    data = cli("prices list --json").json["data"]

    later = next(price for price in data if price["size"] == "1024x1024")
    assert (later["per_image_micros"], later["quality"], later["operation"]) == (500_000, "high", "edit")
    assert (later["starts_at"], later["in_force"]) == (4_099_737_600, False)
    assert "\t2099-12-01T00:00:00+08:00\t-\tno" in cli("prices list").out
    tokens = next(price for price in data if price["model"] == "imagen4")
    assert tokens["per_image_micros"] is None
    assert [tokens[f"per_million_{kind}_micros"] for kind in ("input_text", "input_image", "output")] == [
        5_000_000,
        10_000_000,
        40_000_000,
    ]
    assert (tokens["ceiling_per_image_micros"], tokens["in_force"]) == (1_500_000, True)
    assert "0.08 CNY per image" in cli("prices list").out


def test_usage_adds_up_by_what_is_asked_for(cli: Cli) -> None:
    async def book(database: Database) -> None:
        await insert_usage(database, model="gpt-image-1", cost_micros=1_000_000, day="2026-11-20")
        await insert_usage(database, model="seedream-3.0", cost_micros=80_000, day="2026-11-21", images=2)

    cli.database(book)

    found = cli("usage --json --by model,day --since 2026-11-20 --until 2026-11-21").json
    assert [(row["model"], row["day"], row["cost_micros"]) for row in found["data"]] == [
        ("gpt-image-1", "2026-11-20", 1_000_000)
    ]
    total = cli("usage --json").json
    assert (total["total"]["cost_micros"], total["total"]["images"], total["currency"]) == (1_080_000, 3, "CNY")
    [row] = cli("usage --json --by user").json["data"]
    assert (row["user"], row["user_id"]) == ("user-gone", "user-gone")
    assert cli("usage").out.splitlines()[-1] == "total\t2\t3\t1.08 CNY\t0\t0"


def test_usage_as_csv_has_plain_decimals_and_nothing_a_spreadsheet_would_execute(cli: Cli) -> None:
    async def book(database: Database) -> None:
        for hour, model in enumerate(("=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'plain "a", b')):
            await insert_usage(database, model=model, hour_at_ms=hour, cost_micros=10 - hour)

    cli.database(book)

    assert cli("usage --format csv").out.splitlines() == [
        "model,requests,images,cost,input_tokens,output_tokens,duplicates,duplicates_cost,duplicates_served",
        "'=1+1,1,1,0.00001,0,0,0,0.00,0",
        "'+1,1,1,0.000009,0,0,0,0.00,0",
        "'-1,1,1,0.000008,0,0,0,0.00,0",
        "'@SUM(A1),1,1,0.000007,0,0,0,0.00,0",
        "'\tx,1,1,0.000006,0,0,0,0.00,0",
        '"plain ""a"", b",1,1,0.000005,0,0,0,0.00,0',
    ]


@pytest.fixture
def booked(cli: Cli) -> Cli:
    """Two requests of lin: one settled with a relay's id that would move the cursor, one still open."""
    user = cli("users list --json").json["data"][0]["id"]
    key = cli("keys create --user lin --json").json["id"]

    async def book(database: Database) -> None:
        settled = {"state": "settled", "cost_micros": 80_000, "upstream_request_id": "a\x1b[2Jb\tc", "http_status": 200}
        await insert_request(database, user, key, id="req_1", ended_at_ms=1_795_000_001_500, **settled)
        await insert_request(database, user, key, id="req_2", reserved_at_ms=1_795_000_000_001)

    cli.database(book)
    return cli


def test_requests_are_listed_newest_first_and_shown(booked: Cli) -> None:
    assert [request["id"] for request in booked("requests list --json").json["data"]] == ["req_2", "req_1"]
    assert [request["id"] for request in booked("requests list --user lin --limit 1 --json").json["data"]] == ["req_2"]
    assert [request["id"] for request in booked("requests list --state settled --json").json["data"]] == ["req_1"]
    assert booked("requests list --state none --json", code=2).error["param"] == "state"
    shown = booked("requests show req_1 --json").json
    assert (shown["cost_micros"], shown["total_ms"], shown["user"], shown["stream"]) == (80_000, 1_500, "lin", False)
    assert "reserved at\t2026-11-18T19:06:40+08:00" in booked("requests show req_1").out


def test_why_a_person_was_refused_yesterday_is_one_command(cli: Cli) -> None:
    user = cli("users create mia --email mia@example.com --json").json["id"]
    key = cli("keys create --user mia --json").json["id"]
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    noon_ms = int(noon.timestamp() * 1000)

    async def book(database: Database) -> None:
        for number, days in enumerate((0, 1)):
            await insert_refusal(
                database, user, key, id=f"req_r{number}", at_ms=noon_ms - days * 86_400_000, count=number + 1
            )
        relays = {
            "state": "released",
            "http_status": 400,
            "error_code": "moderation_blocked",
            "upstream_message": "=No.",
        }
        await insert_request(database, user, key, id="req_1", reserved_at_ms=noon_ms + 1000, **relays)
        await insert_request(database, user, key, id="req_2", reserved_at_ms=noon_ms + 2000, state="released")
        told = {"error": StorageFull("No room.").to_record(), "upstream_message": None}
        ours = {"error_code": "storage_full", "http_status": 503, **told}
        await insert_request(database, user, key, id="req_3", reserved_at_ms=noon_ms + 3000, **relays | ours)

    cli.database(book)

    line = "requests list --refused --user mia@example.com --since yesterday"
    found = cli(f"{line} --until today --json").json
    assert [each["id"] for each in found["data"]] == ["req_3", "req_1", "req_r0"]
    assert cli(f"{line} --csv").out.splitlines() == [
        "created_at,user,model,http_status,error_code,limit,count,message,id",
        f"{noon.replace(second=3).isoformat()},mia,gpt-image-1,503,storage_full,,1,No room.,req_3",
        f"{noon.replace(second=1).isoformat()},mia,gpt-image-1,400,moderation_blocked,,1,'=No.,req_1",
        f"{noon.isoformat()},mia,gpt-image-1,429,insufficient_quota,daily quota,1,The daily quota is used up.,req_r0",
    ]
    assert len(cli(f"requests list --refused --since {noon:%Y-%m-%dT%H:%M} --limit 1 --json").json["data"]) == 1
    assert cli("requests list --refused --until yesterday --json").json["data"][0]["count"] == 2
    assert "error message\tNo room." in cli("requests show req_3").out
    assert "message\tThe daily quota is used up." in cli("requests show req_r0").out
    assert cli("requests list --since tomorrow --json", code=2).error["param"] == "since"
    assert cli("usage --since yesterday --until today --json").json["data"] == []


def test_refusals_are_not_hidden_by_requests_that_were_never_answered_and_a_cut_list_says_so(cli: Cli) -> None:
    user = cli("users create mia --json").json["id"]
    key = cli("keys create --user mia --json").json["id"]

    async def book(database: Database) -> None:
        told, code = {"http_status": 400, "error_code": "moderation_blocked"}, "store_unavailable"
        await insert_request(database, user, key, id="req_told", state="released", reserved_at_ms=1000, **told)
        await insert_request(
            database, user, key, id="req_hung_up", state="released", reserved_at_ms=2000, error_code=code
        )
        await insert_refusal(database, user, key, id="req_r0", at_ms=500)

    cli.database(book)
    first, all_of_them = cli("requests list --refused --limit 1 --csv"), cli("requests list --refused")

    assert [line.rpartition(",")[2] for line in first.out.splitlines()] == ["id", "req_told"]
    assert "--limit" in first.err and "--limit" not in all_of_them.err
    assert "--limit" in cli("requests list --limit 1").err and "--limit" not in cli("requests list").err


def test_what_a_terminal_would_obey_is_escaped(booked: Cli) -> None:
    out = booked("requests show req_1").out

    assert "upstream request id\ta\\x1b[2Jb\\tc" in out
    assert "cost\t0.08 CNY" in out


def test_the_schema_is_made_once_and_shown(empty_cli: Cli) -> None:
    before = empty_cli("db current --json").json
    assert (before["current"], before["up_to_date"]) == (None, False)
    assert not empty_cli.data.exists()

    first, second = empty_cli("db upgrade --json").json, empty_cli("db upgrade --json").json
    assert first == second == empty_cli("db current --json").json
    assert (first["current"], first["up_to_date"]) == (before["newest"], True)
