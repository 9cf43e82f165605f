"""Redaction of the relay's messages for clients: removes everything that identifies the relay, its keys or its requests."""

import re
from typing import Final

MESSAGE_CHARS_MAX: Final = 500
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
        r"\breq[_-][\w-]{6,}",
        r"\b\d{17,}[0-9A-Za-z]{4,}\b",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        rf"(?<![\w.-])(?:[\w*-]+\.)+(?:{_TOP_LEVEL})(?![\w-])(?::\d+)?(?:/[!#-&(*-;=?-~]*)?",
        r"\blocalhost(?::\d+)?",
        r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.])",
        r"\[[0-9a-f]*:[0-9a-f:.]+\](?::\d+)?",
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
    )
)


def clean_message(text: str) -> str:
    """Remove request ids, URLs, hosts, addresses, keys and control characters. Returns one line of at most 500 characters."""
    text = text[:_READ_CHARS_MAX]
    for pattern in _REDACTED:
        text = pattern.sub(" ", text)
    text = re.sub(r"[(（\[【]\s+[)）\]】]", " ", text)
    text = re.sub(r"\s+([.,;:!?)，。；])", r"\1", re.sub(r"\s+", " ", text)).strip()
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1].rstrip() + "…"
