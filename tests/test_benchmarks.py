"""What the benchmarks rest on: their own HTTP, the check of the books, and the long book they make."""

import asyncio
import random
import shutil
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.core.intervals import DAY_MS
from app.store.engine import Database
from app.store.tables import requests
from benchmarks.books import Books, complaint, read_books
from benchmarks.certificate import certify
from benchmarks.http import Message
from benchmarks.ledger import ZONE, Crowd, fill
from benchmarks.load import HUNG_UP, Load, Tally, crowded
from benchmarks.medians import rows
from benchmarks.plot import draw
from benchmarks.processes import Upstream, running_upstream
from benchmarks.rounds import Bench, Measurement, complaints
from benchmarks.scenarios import GENERATIONS, PRICE_MICROS, SCENARIOS, Manner
from benchmarks.table import comparison, table
from benchmarks.targets import Direct

TALLY = Tally(sent=4, good=3, failed={"503": 1}, seconds=1.0, p50_ms=1.0, p99_ms=2.0)


def cut(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        length = chance.randint(1, len(data))
        yield data[:length]
        data = data[length:]


def test_a_message_is_whole_at_its_last_byte_wherever_it_is_cut() -> None:
    data = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 300\r\n\r\n" + b"y" * 300
    for seed in range(200):
        message = Message()

        ends = [message.takes(piece) for piece in cut(data, random.Random(seed))]

        assert ends == [False] * (len(ends) - 1) + [True]
        assert (message.first_line, message.body_bytes) == (b"HTTP/1.1 200 OK", 300)


def test_an_answer_that_does_not_say_how_long_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        Message().takes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_books_that_agree_are_passed_in_silence_and_all_others_named() -> None:
    before, after = Books(10, 10 * PRICE_MICROS, 0), Books(13, 13 * PRICE_MICROS, 0)

    assert complaint(before, after, TALLY, calls=3) == ""
    assert complaint(before, after, TALLY, calls=4).count(";") == 2
    assert complaint(before, after, replace(TALLY, good=4), calls=3) == "3 calls to the relay for 4 answers"
    assert complaint(before, Books(13, 13 * PRICE_MICROS, 1), TALLY, calls=3) == "1 open"


@pytest.mark.parametrize(("calls", "agrees"), [(2, False), (3, True), (5, True), (6, False)])
def test_whoever_hung_up_may_have_bought_and_nobody_else(calls: int, agrees: bool) -> None:
    tally = replace(TALLY, sent=5, failed={HUNG_UP: 2})

    found = complaint(Books(0, 0, 0), Books(calls, calls * PRICE_MICROS, 0), tally, calls)

    assert found == ("" if agrees else f"{calls} calls to the relay for 3 answers and 2 who hung up")


def test_what_was_bought_for_those_who_hung_up_is_in_the_book_and_no_more() -> None:
    tally = replace(TALLY, sent=5, failed={HUNG_UP: 2})

    assert "3 settled for 4 calls" in complaint(Books(0, 0, 0), Books(3, 3 * PRICE_MICROS, 0), tally, calls=4)
    assert "5 settled for 4 calls" in complaint(Books(0, 0, 0), Books(5, 5 * PRICE_MICROS, 0), tally, calls=4)


async def test_books_are_read_once_everything_in_them_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "imagegate.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as book:
        book.execute("CREATE TABLE requests (state TEXT, cost_micros INTEGER)")
        book.executemany("INSERT INTO requests VALUES (?, 7)", [("settled",), ("dispatched",)])
        asyncio.get_running_loop().call_later(0.05, book.execute, "UPDATE requests SET state = 'settled'")

        assert await read_books(file) == Books(settled=2, cost_micros=14, open=0)


def test_a_run_is_told_which_books_do_not_agree() -> None:
    good, bad = measured("imagegate", 0, 1.0), replace(measured("imagegate", 1, 1.0), books="1 open")

    assert complaints([measured("nginx", 0, 1.0), good]) == []
    assert complaints([good, bad]) == ["the books of imagegate do not agree after small64, round 2: 1 open"]


async def test_every_second_client_hangs_up_and_all_are_counted(tmp_path: Path) -> None:
    async with running_upstream() as upstream:
        await upstream.behave(Manner(delay_s=0.2))
        tally = await crowded(load(upstream, tmp_path, leave_within_s=0.05))
        heard = await upstream.behave(Manner())

    assert tally.good > 0 and tally.left > 0
    assert tally.failed == {HUNG_UP: tally.left} and tally.good + tally.left == tally.sent
    assert tally.good <= heard.calls <= tally.sent


async def test_nobody_hangs_up_who_is_not_told_to(tmp_path: Path) -> None:
    async with running_upstream() as upstream:
        await upstream.behave(Manner())
        tally = await crowded(load(upstream, tmp_path, leave_within_s=0.0))
        heard = await upstream.behave(Manner())

    assert (tally.good, tally.failed, heard.calls) == (tally.sent, {}, tally.sent)


async def test_what_only_a_gateway_can_be_asked_is_not_asked_of_the_relay(tmp_path: Path) -> None:
    spared = {one.name for one in SCENARIOS if not one.direct}
    async with running_upstream() as upstream:
        bench = Bench([Direct(upstream)], upstream, tmp_path)
        found = [await bench.run(one, rounds=1) for one in SCENARIOS if one.name in spared]

    assert spared == {"start", "b64tls"}
    assert found == [[], []]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
async def test_the_relay_behind_tls_is_the_same_one_and_speaks_nothing_older_than_1_3(tmp_path: Path) -> None:
    certificate = certify(tmp_path)
    assert certificate is not None
    trusting = ssl.create_default_context(cafile=certificate)
    async with running_upstream(certificate) as upstream, httpx2.AsyncClient(verify=trusting) as client:
        await upstream.behave(Manner())
        answers = [await client.post(upstream.url(tls=tls) + GENERATIONS, content=b"{}") for tls in (False, True)]
        heard = await upstream.behave(Manner())
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx2.ConnectError):
            async with httpx2.AsyncClient(verify=trusting) as older:
                await older.post(upstream.url(tls=True) + GENERATIONS, content=b"{}")

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (answers[0].content, heard.calls) == (answers[1].content, 2)


def test_there_is_no_certificate_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert certify(tmp_path) is None


def load(upstream: Upstream, folder: Path, leave_within_s: float) -> Load:
    body = folder / "body"
    body.write_bytes(b"{}")
    where = ((upstream.port,), GENERATIONS, "none", "application/json", str(body))
    return Load(*where, connections=8, requests_max=40, seconds=20.0, leave_within_s=leave_within_s)


def measured(target: str, round: int, cpu_ms: float) -> Measurement:
    figures = {"rps": 10.0, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": cpu_ms}
    return Measurement(target, "small64", round, TALLY, figures, "" if target == "imagegate" else None)


def test_a_ratio_is_taken_within_a_round_before_the_median() -> None:
    found = [measured("nginx", number, cpu_ms) for number, cpu_ms in enumerate((1.0, 10.0, 2.0))]
    found += [measured("imagegate", number, cpu_ms) for number, cpu_ms in enumerate((3.0, 40.0, 4.0))]

    _, ours = rows(found)

    assert (ours.figures["cpu_ms"], ours.ratios["nginx"]["cpu_ms"], ours.failed) == (4.0, 3.0, {"503": 3})


def test_tables_and_the_plot_name_every_target() -> None:
    found = rows([measured("nginx", 0, 1.0), measured("imagegate", 0, 3.0)])
    [scenario] = [one for one in SCENARIOS if one.name == "small64"]

    assert "agree" in table(scenario, found) and "3.0" in table(scenario, found)
    assert "+200.0%" in comparison(scenario, found)
    assert all(f">{name}</text>" in draw({scenario: found}) for name in ("nginx", "imagegate"))


async def test_the_audit_accepts_a_long_book(database: Database) -> None:
    people = await fill(database, Crowd("two", 2, 3), 3000, await database.now_ms() // DAY_MS * DAY_MS)

    assert len(people) == 3
    found = await audit(database, ZONE)
    assert (found.differences, found.looked_at["requests"]) == ((), 3000)
    async with database.read() as connection:
        assert set((await connection.execute(sa.select(requests.c.state).distinct())).scalars()) == {"settled"}
