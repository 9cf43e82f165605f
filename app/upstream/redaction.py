"""Redaction of the relay's messages for clients: removes everything that identifies the relay, its keys or its requests."""

import re
from typing import Final
from urllib.parse import quote

MESSAGE_CHARS_MAX: Final = 500
_SECRET_CHARS_MIN: Final = 8
"""Shorter secrets, such as the password of a proxy at home, would take ordinary words out of messages."""
_hidden: Final[set[str]] = set()
_READ_CHARS_MAX: Final = 2000
"""Longer texts are cut before cleaning, so that no text makes the expressions below slow."""

_TOP_LEVEL: Final = (
    "ai|app|biz|cc|cloud|cn|co|com|de|dev|eu|fr|gg|hk|icu|info|internal|io|jp|lan|local|net|online|org|"
    "pro|ru|sg|shop|site|svc|tech|top|tv|tw|uk|vip|xyz"
)

# ASCII only: Chinese text has no space beside a host or a key, and must not count as part of it.
_REDACTED: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        r"[(（\[]?\s*(?:request|trace|log|请求)[ _-]?id\s*[:：=]?\s*[`'\"]?[\w.-]*\d[\w.-]*[`'\"]?\s*[)）\]]?",
        r"\b[a-z][a-z0-9+.-]{1,15}://[!#-&(*-;=?-~]*",
        r"\bBearer\s+[\w.~+/*=-]+",
        r"[\[【]?\b(?:sk|pk|rk)[-_][\w*.-]{3,}[\]】]?",
        r"\bAIza[\w-]{10,}",
        r"\b(?:req|org|proj)[_-](?=\w*\d)[\w-]{6,}",
        r"\b\d{17,}[0-9A-Za-z]{4,}\b",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        rf"(?<![\w.-])(?:[\w*-]+\.)+(?:{_TOP_LEVEL})(?![\w-])(?::\d+)?(?:/[!#-&(*-;=?-~]*)?",
        r"\blocalhost(?::\d+)?",
        r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.])",
        r"\[[0-9a-f]*:[0-9a-f:.]+\](?::\d+)?",
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
    )
)


def hide_secret(secret: str) -> None:
    """Take `secret` out of every message from now on, whatever it looks like: a configured key or password of this process.

    Hides also the forms in which relays quote a key: without `sk-`, up to its next hyphen, and encoded as in a URL.
    """
    bare = secret.removeprefix("sk-")
    forms = (secret, bare, bare.partition("-")[0], quote(secret, safe=""))
    _hidden.update(form for form in forms if len(form) >= _SECRET_CHARS_MIN)


def clean_message(text: str) -> str:
    """Remove request ids, URLs, hosts, addresses, keys and control characters. Returns one line of at most 500 characters."""
    for secret in sorted(_hidden, key=len, reverse=True):  # Before the cut, which could leave the first half of one.
        text = text.replace(secret, " ")
    text = text[:_READ_CHARS_MAX]
    for pattern in _REDACTED:
        text = pattern.sub(" ", text)
    text = re.sub(r"[(（\[【]\s+[)）\]】]", " ", text)
    text = re.sub(r"\s+([.,;:!?)，。；])", r"\1", re.sub(r"\s+", " ", text)).strip()
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1].rstrip() + "…"
