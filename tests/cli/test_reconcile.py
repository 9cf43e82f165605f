"""imagegate reconcile, audit, and the decisions of `imagegate requests`."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from app.sandbox import BillLine, RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import Database
from app.store.tables import usage
from tests.cli.conftest import Cli
from tests.databases import insert_request
from tests.gateways import RELAY_KEY

HOUR_MS = 3_600_000
THEN_MS = time.time_ns() // 1_000_000 - 2 * HOUR_MS


@pytest.fixture
def relay() -> Iterator[RunningSandbox]:
    """In a thread: a command runs an event loop of its own."""
    started, found = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as running:
            found.append(running)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert started.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def booked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Two unknown requests, an hour apart."""
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_API_KEY", RELAY_KEY)
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL", "true")
    user = cli("users list --json").json["data"][0]["id"]
    key = cli("keys create --user lin --json").json["id"]

    async def book(database: Database) -> None:
        for number, at_ms in ((1, THEN_MS), (2, THEN_MS - 3 * HOUR_MS)):
            sent = {"state": "unknown", "dispatched_at_ms": at_ms, "reserved_at_ms": at_ms, "http_status": 424}
            await insert_request(database, user, key, id=f"req_{number}", **sent)

    cli.database(book)
    return cli


def charge(relay: RunningSandbox, at_ms: int, model: str = "gpt-image-1") -> None:
    relay.sandbox.bill.append(BillLine("r", model, "generation", 1, 500_000, at_ms, 1))


def test_reconcile_ends_what_is_proved_and_shows_drift_and_the_rest(
    booked: Cli, relay: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_BASE_URL", relay.base_url)
    charge(relay, THEN_MS - 2 * HOUR_MS, "imagen4")
    charge(relay, THEN_MS + 5000)

    dry = booked("reconcile --dry-run --json").json
    done = booked("reconcile --json").json

    assert dry["done"] == done["done"]
    assert [(step["request_id"], step["action"], step["cost_micros"]) for step in done["done"]] == [
        ("req_1", "settle", 1_000_000)
    ]
    assert [(each["request_id"], each["why"]) for each in done["open"]] == [
        ("req_2", "the relay's log does not reach back to it")
    ]
    assert dry["drift"] == [] and {row["model"] for row in done["drift"]} == {"imagen4", "gpt-image-1"}
    assert sum(day["billed_micros"] for day in done["days"]) == 2_000_000
    assert all(day["is_over"] == (day["billed_micros"] != day["booked_micros"]) for day in done["days"])
    assert done["relay"]["used_points"] == 1_000_000
    assert done["relay"]["missing"] == ["/api/usage/token/ answered 404"]
    assert [(each["relay"], each["used_points"]) for each in done["relays"]] == [("default", 1_000_000)]
    assert {each["relay"] for name in ("done", "open", "days", "drift") for each in done[name]} == {"default"}
    assert booked("requests show req_1 --json").json["flag"] == "reconciled"


def test_reconcile_for_people_names_what_is_theirs_to_decide(
    booked: Cli, relay: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_BASE_URL", relay.base_url)

    done = booked("reconcile")

    assert "done: nothing" in done.err and "still open: 2" in done.err
    assert "the relay shows no log" in done.out
    assert "requests settle ID --reason WHY" in done.err
    assert RELAY_KEY not in done.out + done.err


def test_reconcile_without_a_relay_to_ask_says_what_is_missing(cli: Cli) -> None:
    assert "IMAGEGATE_UPSTREAM_API_KEY" in cli("reconcile", code=1).err
    cli("db upgrade --sandbox")
    assert "by itself" in cli("reconcile --sandbox", code=1).err


def test_an_operator_settles_releases_and_writes_off_with_a_reason_that_is_kept(booked: Cli) -> None:
    settled = booked("requests settle req_1 --cost 0.80 --json", "--reason", "it is on the bill").json
    released = booked("requests release req_2 --json", "--reason", "the relay says no").json

    assert (settled["state"], settled["cost_micros"], settled["flag"]) == ("settled", 800_000, "by_hand")
    assert [(word["kind"], word["reason"]) for word in settled["corrections"]] == [("settle", "it is on the bill")]
    assert settled["corrections"][0]["actor"].endswith("(command line)")
    assert released["state"] == "released"
    again = booked("requests write-off req_1 --json", "--reason", "no", code=4)
    assert again.error["code"] == "conflict"
    assert "it is on the bill" in booked("requests show req_1").out


def test_a_write_off_is_spent_at_the_quote(booked: Cli) -> None:
    given_up = booked("requests write-off req_1 --json", "--reason", "too old").json

    assert (given_up["cost_micros"], given_up["images"], given_up["flag"]) == (1_000_000, 0, "written_off")


@pytest.mark.parametrize(
    ("words", "code"), [("settle req_1 --cost x", 2), ("settle req_0", 3), ("settle req_1 --cost -1", 2)]
)
def test_a_decision_that_cannot_be_is_refused(booked: Cli, words: str, code: int) -> None:
    booked(f"requests {words} --json", "--reason", "r", code=code)


def test_a_decision_needs_a_reason(booked: Cli) -> None:
    assert "--reason" in booked("requests release req_1", code=2).err


def test_a_clean_book_passes_the_audit_and_a_changed_one_fails_it_by_name(booked: Cli) -> None:
    booked("requests write-off req_1", "--reason", "too old")
    clean = booked("audit --json").json
    assert (clean["clean"], clean["differences"], clean["looked_at"]["requests"]) == (True, [], 2)
    assert "clean" in booked("audit").err

    async def spoil(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(sa.update(usage).values(cost_micros=7))

    booked.database(spoil)

    spoilt: dict[str, Any] = booked("audit --json", code=1).json
    assert spoilt["clean"] is False
    [found] = spoilt["differences"]
    assert (found["what"], found["expected"], found["found"]) == ("cost_micros", 1_000_000, 7)
    assert "gpt-image-1" in booked("audit", code=1).out
