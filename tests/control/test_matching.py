"""Which charge proves which request, as tables: what is drawn here is all that is known on either side."""

from dataclasses import replace

import pytest

from app.control.matching import MatchingRules, SentRequest, match, why_not_released
from app.store.ledger.columns import State
from app.upstream.billing import ChargeLog, LogRow

SECOND = 1000
MINUTE = 60 * SECOND
T = 1_795_276_800_000
RULES = MatchingRules(deadline_ms=30 * MINUTE, micros_per_dollar=1_000_000)
MODELS = ("m", "other")


def sent(id: str, state: State = "unknown", at: int = 0, *, cost: int = 100_000, **given: object) -> SentRequest:
    """Dispatched `at` seconds after T; a settled one took 10 s."""
    took = 10 * SECOND if state == "settled" else None
    base = SentRequest(id, state, "m", T + at * SECOND, took, frozenset({cost}))
    return replace(base, **given)  # type: ignore[arg-type]


def row(row_id: str, at: int = 10, *, cost: int = 100_000, model: str = "m", request_id: str = "") -> LogRow:
    return LogRow(row_id, T + at * SECOND, model, cost // 2, request_id)


def log(*rows: LogRow, oldest: int = -86_400, cut: bool = False) -> ChargeLog:
    return ChargeLog(rows, T + oldest * SECOND, cut)


def found(requests: list[SentRequest], rows: list[LogRow]) -> dict[str, str]:
    return {id: row.row_id for id, row in match(requests, rows, RULES).found.items()}


@pytest.mark.parametrize(
    ("requests", "rows", "expected"),
    [
        ([sent("u")], [row("a")], {"u": "a"}),
        ([sent("u")], [], {}),
        ([sent("u")], [row("a", cost=100_002)], {"u": "a"}),  # one point apart: rounding
        ([sent("u")], [row("a", cost=100_004)], {}),
        ([sent("u")], [row("a", model="other")], {}),
        ([sent("u")], [row("a", at=-61)], {}),
        ([sent("u")], [row("a", at=-59)], {"u": "a"}),
        ([sent("u")], [row("a", at=41 * 60 - 1)], {"u": "a"}),  # the relay went on to the cap, and was late
        ([sent("u")], [row("a", at=41 * 60 + 1)], {}),
        ([sent("u")], [row("a"), row("b")], {}),  # two could be its own
        ([sent("u"), sent("v", at=5)], [row("a")], {}),  # it could be either's
        ([sent("u"), sent("v", at=5)], [row("a"), row("b")], {}),  # both charged, but which by which?
        ([sent("u"), sent("v", cost=200_000)], [row("a"), row("b", cost=200_000)], {"u": "a", "v": "b"}),
        ([sent("u"), sent("v", "dispatched", at=5)], [row("a")], {}),
        ([sent("u"), sent("s", "settled")], [row("a")], {}),  # the settled one was charged: the row is its
        ([sent("u"), sent("s", "settled")], [row("a"), row("b", at=600)], {"u": "b"}),
        ([sent("u"), sent("s", "settled")], [row("a"), row("b")], {}),
        (
            [sent("u"), sent("s", "settled"), sent("t", "settled")],
            [row("a"), row("b"), row("c", at=600)],
            {"u": "c"},  # two rows are those of the two settled ones, whichever is whose
        ),
        ([sent("s", "settled")], [row("a")], {"s": "a"}),
        ([sent("s", "settled")], [row("a", at=71)], {}),  # an end that was seen is logged soon after
        ([sent("u", matched_row_id="a")], [row("a")], {}),
        ([sent("u", matched_row_id="a"), sent("v", at=5)], [row("a"), row("b")], {"v": "b"}),
    ],
)
def test_without_ids_a_match_counts_only_where_nothing_else_fits(
    requests: list[SentRequest], rows: list[LogRow], expected: dict[str, str]
) -> None:
    assert found(requests, rows) == expected


@pytest.mark.parametrize(
    ("requests", "rows", "expected"),
    [
        (
            [sent("u", upstream_request_id="1"), sent("v", upstream_request_id="2")],
            [row("a", request_id="2"), row("b", request_id="1")],
            {"u": "b", "v": "a"},
        ),
        # Time and amount do not matter where the relay itself says whose it is.
        ([sent("u", upstream_request_id="1")], [row("a", at=9999, cost=7, request_id="1")], {"u": "a"}),
        ([sent("u", upstream_request_id="1")], [row("a", request_id="2")], {}),
        # The head of the answer never came: no id on our side, so the rest has to fit.
        ([sent("u")], [row("a", request_id="2")], {"u": "a"}),
        (
            [sent("u"), sent("s", "settled", upstream_request_id="1")],
            [row("a", request_id="1"), row("b", request_id="2")],
            {"s": "a", "u": "b"},
        ),
        ([sent("u", upstream_request_id="1")], [row("a", request_id="1"), row("b", request_id="1")], {}),
        ([sent("u", upstream_request_id="1"), sent("v", upstream_request_id="1")], [row("a", request_id="1")], {}),
    ],
)
def test_the_relays_request_id_decides_where_both_sides_have_it(
    requests: list[SentRequest], rows: list[LogRow], expected: dict[str, str]
) -> None:
    assert found(requests, rows) == expected


def test_a_refund_proves_no_request() -> None:
    assert found([sent("u")], [replace(row("a"), points=-50_000)]) == {}


@pytest.mark.parametrize(
    ("others", "told", "why"),
    [
        ([], log(), None),
        ([], log(oldest=-60), "does not reach back"),
        ([], log(oldest=-61), None),
        ([], ChargeLog((), None, False), "does not reach back"),
        ([], log(row("a"), row("b")), "could be its own"),
        ([], log(row("a", cost=2)), "could be its own"),  # another amount is no proof that it is another's
        ([], log(row("a", model="other")), None),
        ([], log(row("a", model="renamed")), "could be its own"),  # nobody knows whose name that is
        ([], log(row("a", at=42 * 60)), None),
        ([sent("s", "settled")], log(row("a")), None),
        ([sent("s", "settled")], log(), "lacks a settled request"),
        ([sent("s", "settled", at=3 * 3600)], log(), None),
        ([sent("s", "settled", model="other")], log(), None),
        ([sent("s", "settled", matched_row_id="a")], log(row("a")), None),
        ([sent("s", "settled"), sent("t", "settled")], log(row("a"), row("b")), None),
        ([sent("s", "settled"), sent("t", "settled")], log(row("a")), "could be its own"),
    ],
)
def test_a_release_needs_a_log_in_which_every_charge_has_its_place(
    others: list[SentRequest], told: ChargeLog, why: str | None
) -> None:
    requests = [sent("u"), *others]
    matches = match(requests, told.rows, RULES)
    assert "u" not in matches.found

    said = why_not_released(requests[0], told, matches, requests, MODELS, RULES)

    assert said is None if why is None else said is not None and why in said


def test_nothing_is_judged_before_its_charge_would_show() -> None:
    assert not RULES.is_old_enough(T, T + 40 * MINUTE)
    assert RULES.is_old_enough(T, T + 40 * MINUTE + 1)
