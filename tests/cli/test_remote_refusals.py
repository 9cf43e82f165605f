"""What commands for a gateway elsewhere refuse, and what they say of whoever answers instead."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Cli
from tests.cli.remote import HERE_ONLY, KEY, Stranger, key_file, stranger


@pytest.fixture
def speaker() -> Iterator[Stranger]:
    with stranger() as told:
        yield told


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (404, '{"error": {"message": "x", "type": "t", "param": null, "code": "unknown_url"}}', {}, "is older than"),
        (404, "<html>nothing here</html>", {}, "not as imagegate does"),
        (502, "<html>bad gateway</html>", {}, "answers 502"),
        (200, "<html>please sign in</html>", {}, "not as imagegate does"),
        (200, '["something else"]', {}, "not as imagegate does"),
        (302, "", {"location": "https://user:pw@sign.in/?secret=1"}, "leads to https://sign.in, and"),
        (429, '{"error": {"message": "Too many.", "type": "requests", "param": null, "code": "c"}}', {}, "Too many."),
    ],
)
def test_whoever_else_answers_is_told_apart(
    empty_cli: Cli, speaker: Stranger, status: int, body: str, headers: dict[str, str], says: str
) -> None:
    speaker.status, speaker.body, speaker.headers = status, body, headers

    code = 3 if "unknown_url" in body else 1
    done = empty_cli(f"users list --json --url {speaker.url} --admin-key-file", key_file(empty_cli), code=code)

    assert says in done.error["message"]
    assert KEY not in done.err and "pw" not in done.err and "secret=1" not in done.err
    assert len(speaker.asked) == 1


def test_nobody_there_is_told_with_the_address(empty_cli: Cli) -> None:
    done = empty_cli("users list --json --url http://127.0.0.1:1 --admin-key-file", key_file(empty_cli), code=1)

    assert done.error["code"] == "gateway_unreachable"
    assert "no connection to http://127.0.0.1:1 " in done.error["message"]


@pytest.mark.parametrize(
    "url",
    ["gateway", "ftp://host", "http://", "http://u:hush@host", "https://host?key=hush", "https://host#x", "http://h:x"],
)
def test_a_url_that_cannot_be_one_is_refused_and_not_repeated(empty_cli: Cli, url: str) -> None:
    done = empty_cli("users list --json --url", url, "--admin-key-file", key_file(empty_cli), code=2)

    assert done.error["code"] == "invalid_usage" and "hush" not in done.err


def test_a_missing_or_impossible_key_is_told_before_anything_is_sent(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "IMAGEGATE_ADMIN_KEY holds no admin key" in empty_cli("users list --url http://127.0.0.1:1", code=1).err
    monkeypatch.setenv("IMAGEGATE_ADMIN_KEY", "sk ig\nhush")
    assert "hush" not in empty_cli("users list --url http://127.0.0.1:1", code=1).err
    assert "cannot be read" in empty_cli("users list --url http://127.0.0.1:1 --admin-key-file gone", code=1).err


@pytest.mark.parametrize("option", ["--sandbox", "--data-dir data"])
def test_two_places_at_once_are_refused(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("IMAGEGATE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("IMAGEGATE_ADMIN_KEY", KEY)

    assert "which?" in empty_cli(f"users list {option}", code=2).err
    empty_cli(f"db upgrade {option} --url", "")


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://gateway.invalid", True),
        ("https://gateway.invalid", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
        ("http://localhost:1", False),
    ],
)
def test_an_unencrypted_way_to_another_machine_is_warned_of(empty_cli: Cli, url: str, warned: bool) -> None:
    done = empty_cli(f"users list --url {url} --admin-key-file", key_file(empty_cli), code=1)

    assert ("warning" in done.err) is warned


def test_a_secret_given_for_an_id_never_leaves(empty_cli: Cli, speaker: Stranger) -> None:
    secret = "sk-ig-abcdefghijkl-secret"
    speaker.body = json.dumps({"object": "organization.installation", "currency": "CNY", "timezone": "UTC"})
    for line in ("keys show", "keys revoke", "limits show --key", "admin-keys revoke", "alerts delete"):
        done = empty_cli(f"{line} {secret} --url {speaker.url} --admin-key-file", key_file(empty_cli), code=3)
        assert "is a secret, and not an id" in done.err and secret not in done.err

    assert {asked.split()[1] for asked in speaker.asked} == {"/v1/organization/installation"}
    assert all(KEY not in asked.splitlines()[0] for asked in speaker.asked)


@pytest.mark.parametrize("line", HERE_ONLY.splitlines())
def test_what_needs_the_machine_says_so_and_touches_nothing(empty_cli: Cli, line: str) -> None:
    plain = empty_cli(f"{line} --url http://127.0.0.1:1", code=2)
    error = empty_cli(f"{line} --json --url http://127.0.0.1:1", code=2).error

    assert f"imagegate {line.split(' req_')[0]} works on the machine of the gateway only" in plain.err
    assert error["code"] == "invalid_usage"
    assert not empty_cli.data.exists()
