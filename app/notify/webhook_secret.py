"""Secrets that sign webhooks, in the format of standardwebhooks.com."""

import base64
import binascii
import secrets

_PREFIX = "whsec_"


def new_webhook_secret() -> str:
    """Create a secret: `whsec_` and 24 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def is_webhook_secret(text: str) -> bool:
    """Return True for `whsec_` and 24 to 64 bytes in base64, the lengths that the standard allows."""
    try:
        return text.startswith(_PREFIX) and 24 <= len(base64.b64decode(text[6:], validate=True)) <= 64
    except (binascii.Error, ValueError):
        return False
