"""What commands for a gateway elsewhere refuse, and what they say of whoever answers instead."""

import json
from collections.abc import Iterator

import pytest

from app.api.schemas.keys import ApiKeyOut
from app.api.schemas.prices import PriceOut
from tests.cli.conftest import Cli
from tests.cli.targets import KEY, LOCAL_ONLY, OtherServer, key_file, other_server

INSTALLATION = json.dumps({"object": "installation", "currency": "CNY", "timezone": "UTC"})


@pytest.fixture
def server() -> Iterator[OtherServer]:
    with other_server() as seen:
        yield seen


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (404, '{"error": {"message": "x", "type": "t", "param": null, "code": "unknown_url"}}', {}, "is older than"),
        (404, "<html>nothing here</html>", {}, "not as imagegate does"),
        (502, "<html>bad gateway</html>", {}, "answers 502"),
        (200, "<html>please sign in</html>", {}, "not as imagegate does"),
        (200, '["something else"]', {}, "not as imagegate does"),
        (200, '{"object": "installation"}', {}, "not as imagegate does"),
        (200, INSTALLATION.replace("UTC", "Nowhere/Else"), {}, "not as imagegate does"),
        (200, INSTALLATION, {}, "not as imagegate does"),
        (502, "", {"location": "https://[sign.in/?secret=1"}, "answers 502, and not as imagegate does"),
        (302, "", {"location": "https://[sign.in/?secret=1"}, "answers 302, and not as imagegate does"),
        (302, "", {"location": "https://user:pw@sign.in/?secret=1"}, "leads to https://sign.in, and"),
        (429, '{"error": {"message": "Too many.", "type": "requests", "param": null, "code": "c"}}', {}, "Too many."),
    ],
)
def test_whoever_else_answers_is_told_apart(
    empty_cli: Cli, server: OtherServer, status: int, body: str, headers: dict[str, str], says: str
) -> None:
    server.status, server.body, server.headers = status, body, headers

    code = 3 if "unknown_url" in body else 1
    done = empty_cli(f"users list --json --url {server.url} --admin-key-file", key_file(empty_cli), code=code)

    assert says in done.error["message"]
    assert KEY not in done.err and "pw" not in done.err and "secret=1" not in done.err
    assert len(server.asked) == (2 if body == INSTALLATION else 1)


@pytest.mark.parametrize(
    "page",
    [
        "[]",
        "null",
        "{}",
        '{"data": []}',
        '{"object": 5, "data": []}',
        '{"object": "list", "data": 5}',
        '{"object": "list", "data": [{}], "has_more": false}',
        '{"object": "list", "data": [null], "has_more": false}',
    ],
)
@pytest.mark.parametrize("line", ["users list", "keys list", "limits show", "models list", "audit-log", "usage"])
def test_an_answer_of_another_shape_is_told_and_is_no_crash(
    empty_cli: Cli, server: OtherServer, line: str, page: str
) -> None:
    server.first, server.body = [INSTALLATION], page

    done = empty_cli(f"{line} --url {server.url} --admin-key-file", key_file(empty_cli), code=1)

    assert "answers 200, and not as imagegate does" in done.err and done.out == ""


def test_a_change_that_cannot_be_shown_is_said_to_be_made(empty_cli: Cli, server: OtherServer) -> None:
    price, key = (json.dumps(form.model_json_schema()["example"]) for form in (PriceOut, ApiKeyOut))
    lines = {
        "prices set imagen4 --per-image 0.2": ([INSTALLATION, price], "The price is set; only showing it failed."),
        "keys revoke key_4f8c1n0a2b7m": ([INSTALLATION, key, key], "The key key_4f8c1n0a2b7m is revoked; only showing"),
    }
    for line, (first, says) in lines.items():
        for status, body in ((502, "<html>bad gateway</html>"), (200, '{"data": []}')):
            server.first, server.status, server.body = [*first], status, body
            done = empty_cli(f"{line} --url {server.url} --admin-key-file", key_file(empty_cli), code=1)
            assert says in done.err and "Try again" not in done.err


@pytest.mark.parametrize(
    ("name", "value", "url"),
    [
        ("ALL_PROXY", "socks5://u:hush@127.0.0.1:1", "https://gateway.invalid"),
        ("https_proxy", "ftp://u:hush@127.0.0.1:1", "https://gateway.invalid"),
        ("SSL_CERT_FILE", "/nowhere/hush", "https://gateway.invalid"),
        ("SSL_CERT_FILE", "/nowhere/hush", "https://localhost:1"),
    ],
)
def test_a_proxy_or_authority_that_cannot_be_used_is_named(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, url: str
) -> None:
    for each in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.lower(), raising=False)
    monkeypatch.setenv(name, value)

    done = empty_cli(f"users list --json --url {url} --admin-key-file", key_file(empty_cli), code=1)

    assert done.error["code"] == "configuration_error" and "hush" not in done.err
    assert done.error["message"].startswith(f"{name} cannot be used")


def test_what_is_not_encrypted_needs_no_authority(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, server: OtherServer
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    server.first, server.body = [INSTALLATION], '{"object": "list", "data": [], "has_more": false}'

    assert empty_cli(f"users list --json --url {server.url} --admin-key-file", key_file(empty_cli)).json["data"] == []


def test_what_is_not_text_is_refused(empty_cli: Cli, server: OtherServer) -> None:
    server.body = INSTALLATION
    more = ("--url", server.url, "--admin-key-file", key_file(empty_cli))

    for line in ("users create", "users disable"):
        assert "not text" in empty_cli(line, "\udcff", *more, code=2).err


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


def test_a_secret_given_for_an_id_never_leaves(empty_cli: Cli, server: OtherServer) -> None:
    secret = "sk-ig-abcdefghijkl-secret"
    server.body = INSTALLATION
    with_ids = ("keys show", "keys revoke", "limits show --key", "admin-keys revoke", "alerts delete")
    lists = ("audit-log --target", "audit-log --target key_x --target", "audit-log --event", "usage --by")
    inside = (f"usage --by model,{secret}", f"models list --project x,{secret}")
    for line in (*(f"{line} {secret}" for line in (*with_ids, *lists)), *inside):
        done = empty_cli(f"{line} --url {server.url} --admin-key-file", key_file(empty_cli), code=3)
        assert "is a secret, and not an id" in done.err and secret not in done.err

    assert {asked.split()[1] for asked in server.asked} == {"/v1/organization/installation"}
    assert all(KEY not in asked.splitlines()[0] for asked in server.asked)


@pytest.mark.parametrize("line", LOCAL_ONLY)
def test_what_needs_the_machine_says_so_and_touches_nothing(empty_cli: Cli, line: str) -> None:
    plain = empty_cli(f"{line} --url http://127.0.0.1:1", code=2)
    error = empty_cli(f"{line} --json --url http://127.0.0.1:1", code=2).error

    assert f"imagegate {line.removesuffix(' book.db')} works on the machine of the gateway only" in plain.err
    assert error["code"] == "invalid_usage"
    assert not empty_cli.data.exists()
