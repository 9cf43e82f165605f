"""What the relay says its models cost."""

from typing import Any

import pytest

from app.core.pricing import PerImage
from app.upstream.billing import RelayDataError
from app.upstream.pricing import TokenPrices, relay_prices

FIXED = {"model_name": "seedream-3.0", "quota_type": 1, "model_price": 0.08}
TOKENS = {"model_name": "gpt-image-1", "quota_type": 0, "model_ratio": 2.5, "completion_ratio": 8}


def document(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"success": True, "data": list(rows), "group_ratio": {"default": 1, "vip": 0.5}} | more


def test_a_fixed_price_is_site_dollars_times_the_groups_ratio_times_what_a_dollar_costs() -> None:
    assert relay_prices(document(FIXED), "default", 1_000_000).models == {"seedream-3.0": PerImage(80_000)}
    assert relay_prices(document(FIXED), "vip", 1_500_000).models == {"seedream-3.0": PerImage(60_000)}
    assert relay_prices(document(FIXED), "vip", 1).models == {"seedream-3.0": PerImage(1)}  # Rounded up.


def test_a_ratio_of_one_is_two_dollars_per_million_tokens() -> None:
    told = relay_prices(document(TOKENS, TOKENS | {"model_name": "b", "image_ratio": 3}), "default", 1_000_000)

    assert told.models["gpt-image-1"] == TokenPrices(5_000_000, 10_000_000, 40_000_000)
    assert told.models["b"] == TokenPrices(5_000_000, 15_000_000, 40_000_000)


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        FIXED | {"model_name": 5},
        FIXED | {"model_price": -1},
        FIXED | {"model_price": "0.08"},
        FIXED | {"model_price": float("nan")},
        FIXED | {"quota_type": 2},
        {"model_name": "a", "quota_type": 0, "model_ratio": 1},
    ],
)
def test_a_row_that_cannot_be_read_is_left_out(row: Any) -> None:
    assert relay_prices(document(row), "default", 1_000_000).models == {}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"data": 5},
        document(FIXED, success=False),
        document(FIXED, group_ratio={}),
        document(group_ratio=5),
    ],
)
def test_what_is_no_list_of_prices_is_unusable(wrong: Any) -> None:
    with pytest.raises(RelayDataError):
        relay_prices(wrong, "default", 1_000_000)
