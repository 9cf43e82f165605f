"""API keys and admin API keys: told apart by form alone."""

import pytest

from app.core.keys import admin_key_id, key_id, new_admin_key, new_key


def test_a_key_carries_its_id_and_is_no_admin_key() -> None:
    key = new_key()

    assert key_id(key.secret) == key.id
    assert admin_key_id(key.secret) is None


def test_an_admin_key_carries_its_id_and_is_no_api_key() -> None:
    key = new_admin_key()

    assert key.secret.startswith("sk-ig-admin-")
    assert admin_key_id(key.secret) == key.id
    assert key_id(key.secret) is None


def test_a_new_secret_for_a_key_carries_the_same_id() -> None:
    first = new_key()
    second = new_key(first.id)

    assert second.id == first.id == key_id(second.secret)
    assert second.secret != first.secret


@pytest.mark.parametrize("parse", [key_id, admin_key_id])
def test_whatever_is_changed_in_a_key_it_is_none_any_more(parse: object) -> None:
    assert callable(parse)
    for secret in (new_key().secret, new_admin_key().secret):
        for at in range(len(secret)):
            changed = secret[:at] + ("x" if secret[at] != "x" else "y") + secret[at + 1 :]
            assert parse(changed) is None
            assert parse(secret[:at] + secret[at + 1 :]) is None
        assert parse("") is parse(secret + "-") is parse("ä" + secret) is None
