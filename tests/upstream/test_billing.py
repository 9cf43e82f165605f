"""The relay's accounts: read from both kinds of relay, and nothing worse than missing from any other."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.sandbox.records import BillLine, Profile
from app.upstream.billing import (
    LOG_ROWS_MAX,
    KeyAccount,
    RelayDataError,
    limit_points,
    points_to_micros,
    read_accounts,
    read_log,
    token_account,
    used_points,
)
from app.upstream.client import HttpUpstream
from tests.upstream.raw_server import RawServer, Request, hang

KEY = "sk-the+secret/key of=the&relay"
AT_S = 1_795_276_800


def log_row(**given: Any) -> dict[str, Any]:
    row = {
        "id": 5,
        "created_at": AT_S,
        "type": 2,
        "model_name": "m",
        "quota": 500_000,
        "prompt_tokens": 1,
        "completion_tokens": 0,
        "use_time": 9,
    }
    return row | given


def told(*rows: Any) -> dict[str, Any]:
    return {"success": True, "message": "", "data": list(rows)}


@pytest.fixture(params=["C", "N"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[RunningSandbox]:
    profile: Profile = request.param
    async with running_sandbox(SandboxOptions(KEY, profile, latency_scale=0)) as running:
        yield running


@pytest.fixture
async def asked(sandbox: RunningSandbox) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(sandbox.base_url, KEY)
    yield upstream
    await upstream.close()


async def test_both_profiles_tell_their_charges_and_what_was_used(sandbox: RunningSandbox, asked: HttpUpstream) -> None:
    for number, model in enumerate(("seedream-3.0", "gpt-image-1")):
        points = 40_000 if number == 0 else 500_000
        sandbox.sandbox.bill.append(
            BillLine(f"id{number}", model, "generation", 1, points, (AT_S + number) * 1000 + 7, 1)
        )

    accounts = await read_accounts(asked, KEY)

    assert accounts.log is not None
    rows = [(row.at_ms, row.model, row.points) for row in accounts.log.rows]
    assert rows == [(AT_S * 1000, "seedream-3.0", 40_000), (AT_S * 1000 + 1000, "gpt-image-1", 500_000)]
    ids = ["id0", "id1"] if sandbox.sandbox.options.profile == "N" else ["", ""]
    assert [row.request_id for row in accounts.log.rows] == ids
    assert accounts.account == KeyAccount(540_000, None, unlimited=True)
    missing = () if sandbox.sandbox.options.profile == "N" else ("/api/usage/token/ answered 404",)
    assert accounts.missing == missing


async def test_the_key_is_in_a_query_only_where_nothing_else_works_and_in_no_log_line(
    sandbox: RunningSandbox, asked: HttpUpstream
) -> None:
    sandbox.sandbox.bill.append(BillLine("id", "seedream-3.0", "generation", 1, 40_000, AT_S * 1000, 1))

    with capture_logs() as lines:
        accounts = await read_accounts(asked, KEY)

    queries = [parse_qs(seen.query) for seen in sandbox.sandbox.seen if seen.path == "/api/log/token"]
    assert queries == ([{}] if sandbox.sandbox.options.profile == "N" else [{}, {"key": [KEY]}])
    assert "secret" not in f"{lines}{accounts}"


async def test_without_leave_the_key_is_in_no_address_and_an_empty_log_proves_nothing(
    sandbox: RunningSandbox, asked: HttpUpstream
) -> None:
    empty = await read_accounts(asked, None)
    sandbox.sandbox.bill.append(BillLine("id", "seedream-3.0", "generation", 1, 40_000, AT_S * 1000, 1))
    charged = await read_accounts(asked, None)

    assert not any(seen.query for seen in sandbox.sandbox.seen)
    assert empty.log is None
    assert any("IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL=true" in missing for missing in empty.missing)
    is_shown = sandbox.sandbox.options.profile == "N"
    assert (charged.log is not None) == is_shown
    assert any("IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL" in missing for missing in charged.missing) != is_shown


def test_ids_of_the_log_name_nothing_and_rows_keep_their_names() -> None:
    """One kind of relay shows ids modulo 1024, the other counts from the newest row."""
    first = read_log(told(log_row(id=1), log_row(id=2), log_row(id=3, quota=7)))
    again = read_log(told(log_row(id=2), log_row(id=1, created_at=AT_S + 9), log_row(id=3), log_row(id=4, quota=7)))

    assert len({row.row_id for row in first.rows}) == 3
    assert {row.row_id for row in first.rows} < {row.row_id for row in again.rows}


def test_rows_of_other_kinds_are_no_charges_and_refunds_count_down() -> None:
    kinds = [log_row(type=kind, created_at=AT_S - 5) for kind in (0, 1, 3, 4, 5)]
    log = read_log(told(*kinds, log_row(), log_row(type=6, quota=3), log_row(quota=0), {"type": 2}, 7, None))

    assert [row.points for row in log.rows] == [500_000, -3]
    assert log.oldest_at_ms == (AT_S - 5) * 1000


@pytest.mark.parametrize(("count", "cut"), [(LOG_ROWS_MAX - 1, False), (LOG_ROWS_MAX, True)])
def test_a_log_of_a_thousand_rows_may_have_lost_some(count: int, cut: bool) -> None:
    assert read_log(told(*(log_row(created_at=AT_S + at) for at in range(count)))).is_truncated is cut


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"success": False, "message": "x"},
        {"success": True},
        {"success": True, "data": {}},
        {"data": []},
    ],
)
def test_what_is_no_log_is_unusable(document: Any) -> None:
    if document == {"success": True}:
        assert read_log(document).rows == ()  # A relay written in Go says null for an empty list.
        return
    with pytest.raises(RelayDataError):
        read_log(document)


@pytest.mark.parametrize("quota", ["5", None, True, 10**20, float("nan"), 1.5, [], {}])
def test_a_charge_that_is_no_number_is_no_charge(quota: Any) -> None:
    assert read_log(told(log_row(quota=quota))).rows == ()


def test_the_accounts_are_in_points() -> None:
    data = {"total_used": 7, "total_available": 5, "unlimited_quota": False}
    assert token_account({"code": True, "data": data}) == KeyAccount(7, 5, False)
    assert used_points({"object": "list", "total_usage": 108.0}) == 540_000
    assert limit_points({"hard_limit_usd": 2}) == 1_000_000
    assert limit_points({"hard_limit_usd": 100_000_000}) is None


@pytest.mark.parametrize("parse", [token_account, used_points, limit_points])
@pytest.mark.parametrize(
    "document", [None, [], {}, {"total_usage": "1", "hard_limit_usd": True, "data": {"total_used": None}}]
)
def test_what_is_no_account_is_unusable(parse: Any, document: Any) -> None:
    with pytest.raises(RelayDataError):
        parse(document)


@pytest.mark.parametrize(
    ("points", "rate", "micros"),
    [(500_000, 1_000_000, 1_000_000), (1, 1_000_000, 2), (1, 700_000, 2), (-1, 700_000, -1)],
)
def test_points_are_rounded_up_once(points: int, rate: int, micros: int) -> None:
    assert points_to_micros(points, rate) == micros


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("404 Not Found", b'{"error":{}}', "answered 404"),
        ("429 Too Many Requests", b"", "answered 429"),
        ("301 Moved Permanently", b"", "answered 301"),
        ("200 OK", b"<html>console</html>", "is not JSON"),
        ("200 OK", b'{"success":fal', "is not JSON"),
        ("200 OK", b'{"success":false,"message":"no"}', "is not"),
        ("200 OK", b"[" * 100_000, "is not JSON"),
    ],
)
async def test_a_relay_without_accounts_is_no_error(
    relay: RawServer, upstream: HttpUpstream, status: str, body: bytes, said: str
) -> None:
    async def answer(request: Request) -> None:
        await request.answer(body, status)

    relay.script = [answer] * 6

    accounts = await read_accounts(upstream, KEY)

    assert (accounts.log, accounts.account) == (None, KeyAccount(None, None, False))
    assert len(accounts.missing) == 4
    assert all(said in missing for missing in accounts.missing)
    assert "secret" not in str(accounts.missing)
    paths = [urlsplit(request.line.split()[1]).path for request in relay.requests]
    assert paths.count("/api/log/token") == (1 if "429" in status else 2)


async def test_a_silent_relay_is_given_up(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [hang] * 6

    accounts = await read_accounts(upstream, KEY, timeout_s=0.05)

    assert accounts.log is None
    assert all("cannot be had" in missing for missing in accounts.missing)


async def test_a_log_that_only_the_bearer_opens_is_asked_for_once(relay: RawServer, upstream: HttpUpstream) -> None:
    async def log(request: Request) -> None:
        await request.answer(json.dumps(told(log_row())).encode())

    relay.script = [log] * 4

    accounts = await read_accounts(upstream, KEY)

    assert accounts.log is not None and len(accounts.log.rows) == 1
    assert not any("key=" in request.line for request in relay.requests)
