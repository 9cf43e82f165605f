from app.store.clock import STEP_MS, Clock


def test_a_small_correction_backwards_stands_still_and_a_large_one_is_taken() -> None:
    clock = Clock()
    clock.set(1_000_000)
    before_ms = clock.now_ms()

    clock.set(before_ms - STEP_MS // 2)
    corrected_ms = clock.now_ms()
    clock.set(before_ms - 3_600_000)
    jumped_ms = clock.now_ms()

    assert corrected_ms == before_ms
    assert jumped_ms < before_ms - STEP_MS
