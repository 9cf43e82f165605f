"""Text for programs that take a cell for a formula."""

FORMULA_STARTS = ("=", "+", "-", "@")


def defused(text: str) -> str:
    """An apostrophe before anything a spreadsheet would execute."""
    return f"'{text}" if text and (text.startswith(FORMULA_STARTS) or not text[0].isprintable()) else text
