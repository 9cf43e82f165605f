"""Names of things. No name looks like an id, so that either can stand wherever a thing is named."""

import unicodedata

from app.errors import InvalidValue

NAME_CHARS_MAX = 64
EMAIL_CHARS_MAX = 254
ID_PREFIXES = ("user-", "proj_", "key_")


def checked_name(text: str, field: str = "name") -> str:
    """`text` in its composed form (NFC). Raises InvalidValue."""
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
        raise InvalidValue(
            f"The {field} must be 1 to {NAME_CHARS_MAX} visible characters, without a space at either end; this one has "
            f"{len(name)}: {shown(name)}. Choose another.",
            param=field,
        )
    if name.lower().startswith(ID_PREFIXES):
        raise InvalidValue(
            f"The {field} {shown(name)} looks like an id; choose one that does not begin with {', '.join(ID_PREFIXES)}.",
            param=field,
        )
    return name


def reference(text: str) -> str:
    """A name or id as somebody typed it, in the form it is stored in."""
    return unicodedata.normalize("NFC", text)


def checked_email(text: str | None) -> str | None:
    """Raises InvalidValue on what cannot be an address; whether it exists is not asked."""
    if text is None:
        return None
    name, at, host = text.partition("@")
    plain = text.isprintable() and " " not in text and "@" not in host
    if not (name and at and host and plain) or len(text) > EMAIL_CHARS_MAX:
        raise InvalidValue(
            f"The email {shown(text)} is not an address like lin@example.com of at most {EMAIL_CHARS_MAX} characters.",
            param="email",
        )
    return text


def shown(text: str) -> str:
    """Text for messages: cut short, control characters escaped."""
    return ascii(text[:80]) if not text.isprintable() else f"'{text[:80]}'"
