import pytest

from app.errors import GatewayError
from app.upstream.client import HttpUpstream
from app.upstream.probe import models
from tests.upstream.raw_server import RawServer, Request, hang


async def test_the_relays_models_are_listed(relay: RawServer, upstream: HttpUpstream) -> None:
    async def listed(request: Request) -> None:
        await request.answer_json({"success": True, "data": [{"id": "b"}, {"id": "a"}, {"id": "a"}, {"id": 7}, None]})

    relay.script = [listed]

    assert await models(upstream) == ["a", "b"]
    assert relay.requests[0].line == "GET /v1/models HTTP/1.1"


@pytest.mark.parametrize(
    ("status", "body", "code", "cure"),
    [
        ("401 Unauthorized", b'{"error":{"message":"x","type":"new_api_error"}}', "upstream_misconfigured", "API_KEY"),
        ("200 OK", b"<html>console</html>", "upstream_misconfigured", "BASE_URL"),
        ("200 OK", b'{"data":{}}', "upstream_misconfigured", "BASE_URL"),
        ("302 Found", b"", "upstream_misconfigured", "BASE_URL"),
        ("502 Bad Gateway", b"<html>", "upstream_unreachable", "status 502"),
    ],
)
async def test_each_failure_names_its_cure(
    relay: RawServer, upstream: HttpUpstream, status: str, body: bytes, code: str, cure: str
) -> None:
    async def failing(request: Request) -> None:
        await request.answer(body, status)

    relay.script = [failing]

    with pytest.raises(GatewayError) as caught:
        await models(upstream)

    assert caught.value.code == code
    assert cure in caught.value.message


async def test_a_silent_relay_is_given_up(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [hang]

    with pytest.raises(GatewayError, match="no answer within"):
        await models(upstream, timeout_s=0.1)


async def test_an_unreachable_relay_is_told() -> None:
    upstream = HttpUpstream("https://relay.invalid/v1", "sk-secret")

    with pytest.raises(GatewayError, match="cannot be reached"):
        await models(upstream)
    await upstream.close()
