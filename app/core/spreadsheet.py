"""Text for spreadsheets, which execute cells that look like formulas."""

FORMULA_STARTS = ("=", "+", "-", "@")


def escape_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would execute."""
    return f"'{text}" if text and (text.startswith(FORMULA_STARTS) or not text[0].isprintable()) else text
