"""The way to the relay through a proxy: real programs where it matters what a proxy does, a script where it does wrong."""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from app.errors import ConfigurationError, UpstreamMisconfigured
from app.images.answers import read_refusal
from app.upstream.addresses import proxy_address
from app.upstream.client import Answer, Broken, HttpUpstream, NotSent
from tests.proxies import PASSWORD, USER, is_installed, running_proxy
from tests.upstream.given import body_of, image_request
from tests.upstream.raw_server import RawServer, Request, garbage, hang, hang_up, reset, running_raw_server
from tests.upstream.tls_relay import PICTURE, running_tls_relay

WAY = f"{USER}:{PASSWORD}@"


@pytest.fixture(scope="module", params=["proxy.py", "tinyproxy"])
async def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """`host:port` of a proxy that wants a user and a password."""
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    async with running_proxy(request.param, tmp_path_factory.mktemp("proxy")) as address:
        yield address


@contextlib.asynccontextmanager
async def client(url: str, proxy: str, ca_file: Path | None = None) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(
        url, "sk-secret", connect_timeout_s=60, read_timeout_s=60, proxy=f"http://{proxy}", ca_file=ca_file
    )
    try:
        yield upstream
    finally:
        await upstream.close()


async def post(upstream: HttpUpstream) -> Answer:
    return await upstream.send(image_request(), model_drops_response_format=False, request_id="req_1")


async def test_a_relay_behind_tls_is_reached_through_a_tunnel_that_is_kept(proxy: str, certificate: Path) -> None:
    with running_tls_relay(certificate) as relay:
        async with client(relay.url, WAY + proxy, certificate) as upstream:
            assert await body_of(await post(upstream)) == PICTURE
            assert await body_of(await post(upstream)) == PICTURE

    assert relay.connections == 1


async def test_a_relay_without_tls_is_reached_and_does_not_see_the_password(proxy: str, relay: RawServer) -> None:
    async def ok(request: Request) -> None:
        await request.answer_json({"created": 1})

    relay.script = [ok]

    async with client(relay.url + "/v1", WAY + proxy) as upstream:
        answer = await post(upstream)
        assert (answer.status, await body_of(answer)) == (200, b'{"created": 1}')

    [request] = relay.requests
    assert request.line == "POST /v1/images/generations HTTP/1.1"
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert "via" in request.headers
    assert "proxy-authorization" not in request.headers


@pytest.mark.parametrize(("scheme", "user"), [("http", ""), ("https", ""), ("https", f"{USER}:wrong@")])
async def test_a_proxy_that_wants_another_password_is_our_misconfiguration(
    proxy: str, relay: RawServer, scheme: str, user: str
) -> None:
    async with client(relay.url.replace("http", scheme), user + proxy) as upstream:
        answer = await post(upstream)
        verdict = await read_refusal(answer)
        await answer.close()

    assert (verdict.outcome, type(verdict.error), verdict.alarm) == ("released", UpstreamMisconfigured, True)
    assert "IMAGEGATE_UPSTREAM_PROXY" in str(verdict.error)
    assert relay.requests == []


async def test_a_relay_that_the_proxy_cannot_reach_is_not_sent(proxy: str) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        async with client(f"https://127.0.0.1:{placeholder.getsockname()[1]}", WAY + proxy) as upstream:
            with pytest.raises(NotSent) as caught:
                await post(upstream)

    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_not_sent_although_the_relay_is(relay: RawServer, scheme: str) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{placeholder.getsockname()[1]}"
        async with client(relay.url.replace("http", scheme), WAY + proxy) as upstream:
            with pytest.raises(NotSent) as caught:
                await post(upstream)

    assert PASSWORD not in str(caught.value)
    assert relay.connections == 0


async def forbidden(request: Request) -> None:
    await request.answer(b"<html>no</html>", "403 Forbidden")


async def redirect(request: Request) -> None:
    await request.answer(b"", "302 Found", "Location: http://login.example/")


async def no_tls_behind(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await request.reader.read(100)
    request.writer.close()


@pytest.mark.parametrize("fault", [hang_up, reset, hang, garbage, forbidden, redirect, no_tls_behind])
async def test_no_tunnel_means_not_sent(fault: Callable[[Request], Awaitable[None]]) -> None:
    async with running_raw_server() as proxy:
        proxy.script = [fault]
        timeout_s = 1 if fault is hang else 60
        upstream = HttpUpstream("https://relay.example", "sk-secret", connect_timeout_s=timeout_s, proxy=proxy.url)
        with pytest.raises(NotSent):
            await post(upstream)
        await upstream.close()

    [request] = proxy.requests
    assert request.line == "CONNECT relay.example:443 HTTP/1.1"
    assert "sk-secret" not in request.head


@pytest.mark.parametrize("fault", [hang_up, reset, garbage])
async def test_without_a_tunnel_the_proxy_has_the_request_and_it_is_broken(
    fault: Callable[[Request], Awaitable[None]],
) -> None:
    async with running_raw_server() as proxy:
        proxy.script = [fault, fault]
        async with client("http://relay.example", proxy.url.removeprefix("http://")) as upstream:
            with pytest.raises(Broken):
                await post(upstream)

    assert [request.line for request in proxy.requests] == ["POST http://relay.example/v1/images/generations HTTP/1.1"]


HTTPS, HTTP = "https://api.relay.example/v1", "http://10.0.0.5:3000"
ENVIRONMENT = {"https_proxy": "http://one:3128", "HTTP_PROXY": "two:3128", "no_proxy": ""}


@pytest.mark.parametrize(
    ("setting", "base_url", "environment", "expected"),
    [
        (None, HTTPS, ENVIRONMENT, None),
        ("http://u:p@own:1", HTTPS, ENVIRONMENT, "http://u:p@own:1"),
        ("own:3128", HTTPS, {}, "http://own:3128"),
        ("https://own", HTTP, {}, "https://own"),
        ("env", HTTPS, ENVIRONMENT, "http://one:3128"),
        ("env", HTTP, ENVIRONMENT, "http://two:3128"),
        ("env", HTTPS, {}, None),
        ("env", HTTPS, ENVIRONMENT | {"no_proxy": "localhost,relay.example"}, None),
        ("env", HTTPS, ENVIRONMENT | {"no_proxy": "other.example"}, "http://one:3128"),
        ("env", HTTP, ENVIRONMENT | {"no_proxy": "10.0.0.5:3000"}, None),
        ("env", HTTP, ENVIRONMENT | {"no_proxy": "*"}, None),
    ],
)
def test_the_proxy_is_that_of_the_setting_or_of_the_environment_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None,
    base_url: str,
    environment: dict[str, str],
    expected: str | None,
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_address(setting, base_url) == expected


@pytest.mark.parametrize("setting", ["socks5://u:hunter2@a:1", "http://u:hunter2@", "http://u:hunter2@a:x"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="IMAGEGATE_UPSTREAM_PROXY") as caught:
        proxy_address(setting, HTTPS)

    assert "hunter2" not in str(caught.value)
