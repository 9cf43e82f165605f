"""Parser of the relay's refusals: status, code, type and cleaned words of an answer that holds no images."""

import json
from dataclasses import dataclass
from typing import Any, Final

from app.upstream.redaction import clean_message

HEAD_BYTES: Final = 64 * 1024
"""Bytes of a refusal that are read; an error in the relay's envelope is far smaller."""

RELAY_TYPES: Final = frozenset({"new_api_error", "one_api_error"})
"""Types of errors that the relay's own software makes, before or instead of asking a provider."""
_NO_CHANNEL_PHRASES: Final = ("无可用渠道", "no available channel", "No available channel")
_NEVER_FORWARDED_PAGES: Final = frozenset({413, 414, 431})
_NEVER_CONNECTED: Final = frozenset({521, 523, 525, 526})


@dataclass(frozen=True, slots=True)
class RelayRefusal:
    """Parsed refusal. `enveloped`: its body is `{"error": {...}}`. `via_cloudflare`: it came through Cloudflare, which makes pages
    of its own. Missing texts are empty; `message` is not cleaned, and `words` is."""

    status: int
    is_page: bool
    enveloped: bool
    via_cloudflare: bool
    code: str
    type: str
    param: str
    message: str

    @property
    def words(self) -> str:
        return clean_message(self.message)

    @property
    def reports_no_channel(self) -> bool:
        """True when no channel serves the model. The older relay reports that with a phrase and no code."""
        has_phrase = self.type in RELAY_TYPES and any(phrase in self.message for phrase in _NO_CHANNEL_PHRASES)
        return self.code == "model_not_found" or (has_phrase and not self.code)

    @property
    def is_of_proxy(self) -> bool:
        """True for the page of a proxy before the relay that rejected the head or the size of the request: the relay never got
        it."""
        return self.is_page and self.status in _NEVER_FORWARDED_PAGES

    @property
    def never_connected(self) -> bool:
        """True for the page of Cloudflare that says it could not connect to the relay at all. A relay's own JSON with such a status
        proves nothing, nor do 520, 522 and 524: the relay may have received the request."""
        return self.is_page and self.via_cloudflare and self.status in _NEVER_CONNECTED

    @property
    def is_about_model(self) -> bool:
        """True for a provider's 403 about its model or organization, which says nothing about our key.

        OpenAI's reads "Your organization must be verified to use the model `gpt-image-1`". The relay's own 403s concern the key.
        """
        if self.status != 403 or not self.enveloped:
            return False
        text = self.message.lower()
        if "organization must be verified" in text:
            return True
        by_provider = self.type not in RELAY_TYPES and self.type != ""
        return by_provider and ("model" in text or "organization" in text or self.code == "model_not_found")


def read_refusal_head(status: int, content_type: str, head: bytes, *, via_cloudflare: bool) -> RelayRefusal:
    """Parse the first bytes of a refusal. A body that is JSON counts as JSON, whatever `content_type` says; never raises."""
    document = _parse_json(head)
    is_page = document is None and ("html" in content_type.lower() or _starts_with_tag(head))
    fields = document if isinstance(document, dict) else {}
    return _refusal(status, fields, is_page=is_page, via_cloudflare=via_cloudflare)


def read_error(status: int, error: Any) -> RelayRefusal:
    """Parse the value of an `error` key, an object or a string, as it stands in an answer or an event."""
    return _refusal(status, {"error": error})


def error_text(error: Any) -> str:
    """Return the cleaned message of the relay's error, an object or a string; empty without one."""
    return read_error(200, error).words.rstrip(".。")


def _refusal(
    status: int, document: dict[str, Any], *, is_page: bool = False, via_cloudflare: bool = False
) -> RelayRefusal:
    error = document.get("error")
    enveloped = isinstance(error, dict)
    fields: dict[str, Any] = error if isinstance(error, dict) else document
    names = fields if enveloped else {}
    message = error if isinstance(error, str) else _text(fields.get("message")) or _details(fields.get("detail"))
    code, kind, param = (_short_name(names.get(name)) for name in ("code", "type", "param"))
    return RelayRefusal(status, is_page, enveloped, via_cloudflare, code, kind, param, message)


def _starts_with_tag(head: bytes) -> bool:
    return head[:256].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _parse_json(head: bytes) -> Any:
    try:
        return json.loads(head)
    except (ValueError, RecursionError):
        return None


def _details(detail: Any) -> str:
    """Join the messages of a `detail`: a text, or FastAPI's list of `{"msg": ...}`."""
    if isinstance(detail, list):
        return "; ".join(filter(None, (_text(each.get("msg")) for each in detail if isinstance(each, dict))))
    return _text(detail)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _short_name(value: Any) -> str:
    """Return a code, type or parameter name; codes can be numbers. Values that are long or name the relay become empty."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= 100 and text.isprintable() and clean_message(text) == text else ""
