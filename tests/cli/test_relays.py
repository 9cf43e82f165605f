"""imagegate relays."""

import io

import pytest
import sqlalchemy as sa

from app.control.pepper import Peppers
from app.control.relay_keys import unseal_relay_key
from app.control.relays import get_relay
from app.store.engine import Database
from app.store.tables import refused_dispatches
from tests.cli.conftest import Cli
from tests.databases import insert_request

KEY = "sk-of-the-second-relay"
ADD = "relays add second --base-url https://relay.example.com/v1 --key-stdin"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\nsk-another-key\n"))


def test_a_relay_is_added_with_a_key_that_only_the_gateway_can_read(cli: Cli, key: None) -> None:
    options = (
        "--profile C --weight 3 --concurrent 40 --models gpt-image-1,imagen4 --dollar-micros 7300000 --price-factor 0.8"
    )
    done = cli(f"{ADD} {options} --json")

    assert KEY not in done.out + done.err
    made = done.json
    expected = {
        "base_url": "https://relay.example.com",
        "has_key": True,
        "profile": "C",
        "weight": 3,
        "concurrent": 40,
        "models": ["gpt-image-1", "imagen4"],
        "price_factor": "0.80",
        "micros_per_dollar": 7_300_000,
        "state": "active",
        "breaker": None,
    }
    assert {name: made[name] for name in expected} == expected
    assert KEY.encode() not in b"".join(path.read_bytes() for path in cli.data.rglob("*") if path.is_file())
    assert _key_of_second(cli) == KEY


def test_what_is_not_given_stays_and_none_takes_it_away(cli: Cli, key: None) -> None:
    cli(f"{ADD} --concurrent 4 --models imagen4 --dollar-micros 5 --profile N")

    kept = cli("relays set second --weight 0 --json").json
    taken = cli("relays set second --concurrent none --models none --dollar-micros none --profile none --json").json

    assert (kept["weight"], kept["concurrent"], kept["models"], kept["profile"]) == (0, 4, ["imagen4"], "N")
    assert [taken[name] for name in ("concurrent", "models", "micros_per_dollar", "profile")] == [None] * 4
    assert taken["weight"] == 0


def test_a_key_is_replaced_and_never_an_argument(cli: Cli, key: None) -> None:
    cli(ADD)

    refused = cli("relays replace-key second --json", code=2).error
    replaced = cli("relays replace-key second --key-stdin --json").json

    assert refused["param"] == "key" and "--key-stdin" in refused["message"]
    assert replaced["key_replaced_at"] is not None
    assert _key_of_second(cli) == "sk-another-key"


def test_relays_are_listed_with_what_they_get(cli: Cli, key: None) -> None:
    cli(ADD)
    cli("relays disable second")
    before = cli("relays list").out.splitlines()
    removed = cli("relays remove second").err
    after = [each["name"] for each in cli("relays list --json").json["data"]]
    ever = [each["state"] for each in cli("relays list --removed --json").json["data"]]

    assert before[0].split("\t") == [
        *("name", "state", "breaker", "weight", "in flight", "concurrent", "models", "price factor", "base url")
    ]
    assert before[2].split("\t") == [
        "second",
        "disabled",
        "-",
        "1",
        "0",
        "no bound",
        "all",
        "1.00",
        before[2].split("\t")[-1],
    ]
    assert "second gets no requests any more" in removed
    assert (after, ever) == (["default"], ["active", "removed"])


@pytest.mark.parametrize("option", ["--concurrent 0", "--concurrent many", "--dollar-micros 0", "--dollar-micros -1"])
def test_a_number_below_one_is_refused(cli: Cli, option: str) -> None:
    assert cli(f"relays set default {option} --json", code=2).error["code"] == "invalid_value"


def test_a_request_tells_the_relays_that_refused_it_before(cli: Cli) -> None:
    user = cli("users list --json").json["data"][0]["id"]
    key = cli("keys create --user lin --json").json["id"]

    async def book(database: Database) -> None:
        await insert_request(database, user, key, id="req_1", relay="second", dispatched_at_ms=1_795_000_002_000)
        async with database.transaction() as connection:
            for relay, at_ms in (("third", 1_795_000_001_000), ("default", 1_795_000_000_000)):
                row = {
                    "request_id": "req_1",
                    "relay": relay,
                    "dispatched_at_ms": at_ms,
                    "code": "upstream_wallet_empty",
                }
                await connection.execute(sa.insert(refused_dispatches).values(row))

    cli.database(book)
    told, shown = cli("requests show req_1"), cli("requests show req_1 --json").json["refused_dispatches"]

    assert [each["relay"] for each in shown] == ["default", "third"]
    assert shown[0] == {"relay": "default", "dispatched_at": 1_795_000_000, "error_code": "upstream_wallet_empty"}
    assert told.out.splitlines()[-1].startswith("third\t2026-") and "free of charge" in told.err


def _key_of_second(cli: Cli) -> str:
    found = []

    async def read(database: Database) -> None:
        found.append(await database.ask(get_relay, "second"))

    cli.database(read)
    return unseal_relay_key(Peppers((cli.data / "secret_key").read_text().strip().encode()), found[0])
