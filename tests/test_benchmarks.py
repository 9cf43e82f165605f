"""What the benchmarks rest on: their own HTTP, the check of the books, and the long book they make."""

import random
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.core.intervals import DAY_MS
from app.store.engine import Database
from app.store.tables import requests
from benchmarks.books import Books, complaint
from benchmarks.http import Message
from benchmarks.ledger import ZONE, Crowd, fill
from benchmarks.load import Tally
from benchmarks.medians import rows
from benchmarks.plot import draw
from benchmarks.rounds import Measurement
from benchmarks.scenarios import PRICE_MICROS, SCENARIOS
from benchmarks.table import comparison, table

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

    assert complaint(before, after, good=3, calls=3) == ""
    assert complaint(before, after, good=4, calls=3).count(";") == 2
    assert "1 open" in complaint(before, Books(13, 13 * PRICE_MICROS, 1), good=3, calls=3)


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
