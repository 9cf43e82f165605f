"""The circuit: one attempt per pause, pauses that grow, stale news ignored."""

from app.rates.circuit import CircuitBreaker
from tests.rates.stores import FakeClock


def test_after_a_failure_one_attempt_per_pause_passes() -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(clock)
    assert circuit.failed(begun(circuit))

    assert circuit.begin() is None
    clock.advance(1)
    assert circuit.begin() is not None
    assert circuit.begin() is None


def test_pauses_grow_to_five_seconds() -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(clock)
    circuit.failed(begun(circuit))

    assert [pause_until_next(circuit, clock) for _ in range(4)] == [1, 2, 4, 5]


def test_a_failure_after_a_calm_time_pauses_a_second_again() -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(clock)
    circuit.failed(begun(circuit))
    pause_until_next(circuit, clock)
    clock.advance(5)
    assert circuit.succeeded(begun(circuit))

    clock.advance(11)
    circuit.failed(begun(circuit))

    assert pause_until_next(circuit, clock) == 1


def test_one_success_closes_and_everybody_passes() -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(clock)
    circuit.failed(begun(circuit))
    clock.advance(1)

    assert circuit.succeeded(begun(circuit))

    assert not circuit.is_open
    assert begun(circuit) == begun(circuit)


def test_news_from_before_the_change_is_ignored() -> None:
    circuit = CircuitBreaker(FakeClock())
    first, second = begun(circuit), begun(circuit)
    assert circuit.failed(first)

    assert not circuit.failed(second)
    assert not circuit.succeeded(second)

    assert circuit.is_open


def test_an_attempt_that_never_reports_costs_a_pause_only() -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(clock)
    circuit.failed(begun(circuit))
    clock.advance(1)
    begun(circuit)

    clock.advance(1)

    assert circuit.succeeded(begun(circuit))


def begun(circuit: CircuitBreaker) -> int:
    attempt = circuit.begin()
    assert attempt is not None
    return attempt


def pause_until_next(circuit: CircuitBreaker, clock: FakeClock) -> int:
    """Whole seconds until an attempt passes, which then fails."""
    waited_s = 0
    while (attempt := circuit.begin()) is None:
        clock.advance(1)
        waited_s += 1
    circuit.failed(attempt)
    return waited_s
