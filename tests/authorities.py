"""Certificate authorities that the tests trust: one that vouches for no server. Each HTTP client would read the 140 of the machine,
which takes 30 ms, and no test speaks to a server they know."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "SSL_CERT_FILE"
NOBODYS = Path(__file__).with_name("authority.pem")
_given = os.environ.get(VARIABLE)


def trust_nobody() -> None:
    """Let HTTP clients of this process and of those it starts read one authority."""
    _trust(str(NOBODYS))


@contextmanager
def the_machines() -> Iterator[None]:
    """Let programs that install packages find the authorities of this machine."""
    trusted = os.environ.get(VARIABLE)
    _trust(_given)
    try:
        yield
    finally:
        _trust(trusted)


def _trust(file: str | None) -> None:
    os.environ.pop(VARIABLE, None)
    if file is not None:
        os.environ[VARIABLE] = file
