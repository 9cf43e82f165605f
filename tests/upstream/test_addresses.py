"""Addresses of the relay."""

import pytest

from app.errors import ConfigurationError
from app.upstream.addresses import relay_root


@pytest.mark.parametrize(
    "address",
    ["https://api.whatai.cc", "https://api.whatai.cc/", "https://api.whatai.cc/v1", " https://api.whatai.cc/v1/ "],
)
def test_the_address_may_end_in_v1(address: str) -> None:
    assert relay_root(address) == "https://api.whatai.cc"


@pytest.mark.parametrize(
    "address",
    ["", "api.whatai.cc", "ftp://a", "https://", "https://a?b", "https://u:p@a", "https://a:x", "https://[::"],
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        relay_root(address)
