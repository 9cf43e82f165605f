"""Breaker of a relay: when it opens, and how it closes again."""

import pytest

from app.upstream.breaker import FAILURES_MAX, SLOW, Breaker, BreakerRules, BreakerState, Signal


def opened(signal: Signal) -> Breaker:
    breaker = Breaker(lambda: None, BreakerRules(pause_s=0.0))
    for _ in range(FAILURES_MAX[signal]):
        breaker.hear(signal, "upstream_outcome_unknown", is_probe=False)
    return breaker


def state_of(breaker: Breaker) -> BreakerState:
    """State that a type checker takes for any, after a call that changes it."""
    return breaker.state


@pytest.mark.parametrize("signal", ["refused", "unreached", "costly"])
def test_it_opens_after_so_many_failures_in_a_row(signal: Signal) -> None:
    changes: list[BreakerState] = []
    breaker = Breaker(lambda: changes.append(breaker.state), BreakerRules())

    for _ in range(FAILURES_MAX[signal] - 1):
        breaker.hear(signal, "x", is_probe=False)
    assert (breaker.state, breaker.code) == ("closed", None)
    breaker.hear(signal, "x", is_probe=False)

    assert (breaker.state, breaker.code, breaker.is_costly, changes) == ("open", "x", signal == "costly", ["open"])
    assert breaker.wait_s > 0
    assert not breaker.is_due


def test_a_success_in_between_starts_the_count_anew_and_a_busy_relay_does_not() -> None:
    breaker = Breaker(lambda: None, BreakerRules())
    for _ in range(FAILURES_MAX["costly"] - 1):
        breaker.hear("costly", "x", is_probe=False)
    breaker.hear("good", None, is_probe=False)
    for _ in range(FAILURES_MAX["costly"] - 1):
        breaker.hear("costly", "x", is_probe=False)
        breaker.hear("neutral", "upstream_rate_limited", is_probe=False)
    assert state_of(breaker) == "closed"

    breaker.hear("costly", "x", is_probe=False)
    assert state_of(breaker) == "open"


def test_one_that_opened_for_slow_answers_closes_when_one_of_them_comes() -> None:
    breaker = Breaker(lambda: None, BreakerRules())
    for _ in range(FAILURES_MAX["costly"]):
        breaker.hear("costly", SLOW, is_probe=False)
    assert state_of(breaker) == "open"

    breaker.hear("good", None, is_probe=False)

    assert state_of(breaker) == "closed"


def test_an_open_one_asks_for_free_then_buys_once_then_closes() -> None:
    breaker = opened("costly")
    assert breaker.is_due

    breaker.hear("good", None, is_probe=False)
    assert state_of(breaker) == "open", "what was sent before it opened says nothing new"
    breaker.hear_probe(None)
    assert state_of(breaker) == "half_open"
    breaker.is_probing = True
    breaker.hear("good", None, is_probe=True)

    assert (breaker.state, breaker.code, breaker.is_probing) == ("closed", None, False)


def test_a_failed_probe_opens_it_again_for_longer() -> None:
    breaker = Breaker(lambda: None, BreakerRules(pause_s=20.0))
    breaker.hear("refused", "upstream_misconfigured", is_probe=False)
    first_s = breaker.wait_s
    breaker.hear_probe(None)
    breaker.hear("costly", "upstream_outcome_unknown", is_probe=True)
    second_s, until_s = breaker.wait_s, breaker.until_s
    breaker.hear("costly", "upstream_outcome_unknown", is_probe=True)

    assert breaker.state == "open"
    assert first_s < second_s
    assert breaker.until_s == until_s, "two that fail together are one failure"


def test_a_neutral_probe_leaves_it_half_open_for_another() -> None:
    breaker = opened("costly")
    breaker.hear_probe(None)
    breaker.is_probing = True

    breaker.hear("neutral", "upstream_rate_limited", is_probe=True)

    assert (breaker.state, breaker.is_probing) == ("half_open", False)


def test_one_that_opened_for_a_refused_key_pauses_only_after_as_many_costly_failures() -> None:
    breaker = opened("refused")
    breaker.hear("costly", "upstream_outcome_unknown", is_probe=True)
    assert (state_of(breaker), breaker.is_costly) == ("open", False)

    for _ in range(FAILURES_MAX["costly"] - 1):
        breaker.hear("costly", "upstream_outcome_unknown", is_probe=True)

    assert (state_of(breaker), breaker.is_costly) == ("open", True)
