"""Names and e-mail addresses: checks and normal forms. No name looks like an id, so that commands take either."""

import re
import unicodedata

from app.errors import InvalidValue

NAME_CHARS_MAX = 64
NORMALIZED_CHARS_MAX = 1024
"""Longest text that is normalized, which takes quadratic time for combining marks. A longer one is no name."""
EMAIL_CHARS_MAX = 254
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0]")
"""Characters that count as printable and show nothing: fillers, blanks and variation selectors."""
ID_PREFIXES = ("user-", "proj_", "key_")


def checked_name(text: str, field: str = "name") -> str:
    """Return a name in its compatible, composed form (NFKC). Raises InvalidValue, also for invisible characters."""
    name = normalized(text)
    visible = text.isprintable() and name.isprintable() and not _INVISIBLE.search(text)
    if not 1 <= len(name) <= NAME_CHARS_MAX or not visible or name != name.strip():
        raise InvalidValue(
            f"The {field} must be 1 to {NAME_CHARS_MAX} visible characters, without a space at either end; this one has "
            f"{len(name)}: {quoted(name)}. Choose another.",
            param=field,
        )
    if name.lower().startswith(ID_PREFIXES):
        raise InvalidValue(
            f"The {field} {quoted(name)} looks like an id; choose one that does not begin with {', '.join(ID_PREFIXES)}.",
            param=field,
        )
    return name


def normalized(text: str) -> str:
    """Return a name or id in the form it is stored in (NFKC), so that full-width letters and the like make no second name."""
    return unicodedata.normalize("NFKC", text) if len(text) <= NORMALIZED_CHARS_MAX else text


def checked_email(text: str | None) -> str | None:
    """Return an e-mail address of a possible form in lower case, as it is stored. Raises InvalidValue."""
    if text is None:
        return None
    name, at, host = text.partition("@")
    plain = text.isprintable() and " " not in text and "@" not in host
    if not (name and at and host and plain) or len(text) > EMAIL_CHARS_MAX:
        raise InvalidValue(
            f"The email {quoted(text)} is not an address like lin@example.com of at most {EMAIL_CHARS_MAX} characters.",
            param="email",
        )
    return text.lower()


def quoted(text: str) -> str:
    """Quote a text for a message: 80 characters at most, control characters escaped."""
    return ascii(text[:80]) if not text.isprintable() else f"'{text[:80]}'"
