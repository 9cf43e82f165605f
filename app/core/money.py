"""Money in micros: whole millionths of the currency of the book, rounded up once."""

from decimal import Decimal, InvalidOperation

MICROS = 1_000_000
HUNDREDTH_MICROS = 10_000
AMOUNT_MICROS_MAX = 10**15
"""Largest amount: a thousand million units, far above any need and far below the limit of 64 bits."""


def micros(text: str) -> int:
    """Parse an amount: `0.08` is 80000. Raises ValueError unless it is a plain, non-negative decimal of at most six places."""
    try:
        amount = Decimal(text.strip()) * MICROS
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount; write it like 12.50") from None
    if not amount.is_finite() or amount < 0 or amount > AMOUNT_MICROS_MAX:
        raise ValueError(f"{text} is out of range; amounts go from 0 to {decimal_text(AMOUNT_MICROS_MAX)}")
    if amount != int(amount):
        raise ValueError(f"{text} has more than six decimal places")
    return int(amount)


def hundredths_micros(text: str) -> int:
    """Parse a spend limit: `12.50` is 12500000. Raises ValueError as `micros` does, and unless it is whole hundredths."""
    amount = micros(text)
    if amount % HUNDREDTH_MICROS:
        raise ValueError(f"{text} is not whole hundredths; spend limits have at most two decimal places")
    return amount


def decimal_text(amount_micros: int) -> str:
    """Format micros as a plain decimal with at least two places: 80000 is `0.08`."""
    sign, amount = ("-", -amount_micros) if amount_micros < 0 else ("", amount_micros)
    whole, rest = divmod(amount, MICROS)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


def per_million_micros(tokens: int, price_micros: int) -> int:
    """Multiply tokens by a price in micros per million tokens. The result is in millionths of a micro: round sums of it once, with
    `rounded_up`."""
    return tokens * price_micros


def rounded_up(millionths: int) -> int:
    """Convert millionths of a micro to micros, rounded up."""
    return -(-millionths // 1_000_000)
