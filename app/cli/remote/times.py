"""Instants of the API are whole seconds, ours are milliseconds."""


def required_ms(at_s: int) -> int:
    """Raises TypeError for what is none."""
    if not isinstance(at_s, int):
        raise TypeError(at_s)
    return at_s * 1000


def at_ms(at_s: int | None) -> int | None:
    return None if at_s is None else required_ms(at_s)
