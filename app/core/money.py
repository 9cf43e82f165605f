"""Money is a whole number of micros: millionths of the one currency of the book. Rounded up, and only once."""

from decimal import Decimal, InvalidOperation

MICROS = 1_000_000
HUNDREDTH_MICROS = 10_000
AMOUNT_MICROS_MAX = 10**15
"""A thousand million units: far above any team, far below what 64 bits hold."""


def micros(text: str) -> int:
    """`0.08` -> 80000. Raises ValueError on anything but a plain, non-negative decimal of at most six places."""
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
    """A spend limit: `12.50` -> 12500000. Raises ValueError when it is not whole hundredths."""
    amount = micros(text)
    if amount % HUNDREDTH_MICROS:
        raise ValueError(f"{text} is not whole hundredths; spend limits have at most two decimal places")
    return amount


def decimal_text(amount_micros: int) -> str:
    """80000 -> `0.08`: a plain decimal, at least two places, never an exponent."""
    sign, amount = ("-", -amount_micros) if amount_micros < 0 else ("", amount_micros)
    whole, rest = divmod(amount, MICROS)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


def per_million_micros(tokens: int, price_micros: int) -> int:
    """Tokens times price, in millionths of a micro: add these up and round once with `rounded_up`."""
    return tokens * price_micros


def rounded_up(millionths: int) -> int:
    """Millionths of a micro to micros, up."""
    return -(-millionths // 1_000_000)
