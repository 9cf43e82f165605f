"""What holds for rates in memory only."""

from app.rates import MemoryRates, RateCharge
from app.rates.window import Window
from tests.rates.stores import FakeClock, requests


async def test_limits_idle_for_a_minute_are_forgotten_while_others_are_spent() -> None:
    clock = FakeClock()
    rates = MemoryRates(clock)
    for number in range(1000):
        await rates.spend([RateCharge(requests(5, f"idle:{number}"), 1)])

    clock.advance(60)
    for _ in range(600):
        await rates.spend([RateCharge(requests(1000, "busy"), 1)])

    assert len(rates) == 1


async def test_looks_and_refusals_are_not_remembered() -> None:
    rates = MemoryRates(FakeClock())

    await rates.spend([RateCharge(requests(5, "looked at"), 0)])
    await rates.spend([RateCharge(requests(0, "refused"), 1)])

    assert len(rates) == 0


def test_a_window_stays_small_whatever_passes() -> None:
    clock, window = FakeClock(), Window()

    for _ in range(20_000):
        clock.advance(0.0173)
        window.expire(clock())
        window.add(1, clock())

    assert len(window) <= 61
    assert window.used >= 60 / 0.0173 - 1


async def test_memory_says_so() -> None:
    assert await MemoryRates().check() == "memory"
