"""What a webhook is signed with, in the form of standardwebhooks.com."""

import base64
import binascii
import secrets

_PREFIX = "whsec_"


def new_webhook_secret() -> str:
    """`whsec_` and 24 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def is_webhook_secret(text: str) -> bool:
    """24 to 64 bytes, as the standard says."""
    try:
        return text.startswith(_PREFIX) and 24 <= len(base64.b64decode(text[6:], validate=True)) <= 64
    except (binascii.Error, ValueError):
        return False
