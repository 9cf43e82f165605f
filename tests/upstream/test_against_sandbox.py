"""The bundled relay answers in its own words and keeps a bill: nothing billed may ever be given back."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from app.core.request import ImageRequest
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.sandbox.errors import ERRORS
from app.spool import Spool, segments_chunks, whole
from app.upstream.answer import images_response
from app.upstream.classify import Verdict, classify_refusal, unknown
from app.upstream.client import Answer, Broken, HttpUpstream
from app.upstream.events import ClientEvent, EventConverter, EventReader
from app.upstream.images import Images, read_images
from app.upstream.probe import models
from app.upstream.refusal import HEAD_BYTES
from app.upstream.skeleton import MalformedAnswer, Skeleton
from tests.upstream.given import PNG, image_request

KEY = "sk-" + "k" * 48
WALLET = {"key_quota": "C", "wallet": "CN", "wallet_short": "CN", "key_quota_403": "CN", "provider_quota": "CN"}
UNCLEAR = frozenset(
    [
        "overloaded",
        "provider_500",
        "provider_html_502",
        "network",
        "bad_response_body",
        "panic",
    ]
) | {"proxy_502", "proxy_504", "cf_524", "redirect_303"}


@pytest.fixture(params=["C", "N"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[RunningSandbox]:
    profile: Literal["C", "N"] = request.param
    async with running_sandbox(SandboxOptions(KEY, profile, latency_scale=0)) as running:
        yield running


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(sandbox.base_url, KEY, read_timeout_s=30)
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def closing(answer: Answer) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await answer.close()


async def exchange(client: HttpUpstream, wanted: ImageRequest, directory: Path) -> tuple[Verdict | Images, Spool]:
    """What a purchase does with a plain answer."""
    spool, skeleton = Spool(directory, memory_bytes_max=0), Skeleton()
    try:
        answer = await client.send(wanted, model_drops_response_format=True, request_id="req_1")
        async with closing(answer):
            async for chunk in answer.chunks():
                spool.write(chunk)
                skeleton.feed(chunk)
    except Broken as exc:
        return unknown(str(exc)), spool
    if answer.status != 200:
        head = b"".join(whole(spool))[:HEAD_BYTES]
        told = (answer.status, answer.content_type, head, answer.retry_after)
        return classify_refusal(*told, via_cloudflare=answer.via_cloudflare), spool
    try:
        return read_images(skeleton.document(), wanted.n), spool
    except MalformedAnswer as exc:
        return unknown(str(exc)), spool


def hinted(hint: str, **request: Any) -> ImageRequest:
    return image_request(fields={"prompt": f"a cat [[sandbox {hint}]]"}, **request)


@pytest.mark.parametrize("error", sorted(ERRORS))
async def test_no_refusal_that_was_billed_is_given_back(
    sandbox: RunningSandbox, client: HttpUpstream, tmp_path: Path, error: str
) -> None:
    verdict, _ = await exchange(client, hinted(f"error={error}"), tmp_path)

    assert isinstance(verdict, Verdict)
    assert (verdict.outcome == "unknown") == (error in UNCLEAR)
    assert verdict.outcome == "unknown" or not sandbox.sandbox.bill
    wallet = sandbox.sandbox.options.profile in WALLET.get(error, "")
    assert (verdict.error.code == "upstream_wallet_empty") == wallet
    assert "sk-" not in verdict.error.message and "request id" not in verdict.error.message


@pytest.mark.parametrize(
    "hint",
    [
        "body=empty",
        "body=html",
        "body=truncated",
        "body=garbage",
        "body=error200",
        "body=none",
        "reset=before_headers",
        "reset=mid_body",
    ],
)
async def test_a_200_without_readable_images_stays_unknown(client: HttpUpstream, tmp_path: Path, hint: str) -> None:
    verdict, _ = await exchange(client, hinted(hint), tmp_path)

    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.error.code) == ("unknown", "upstream_outcome_unknown")


@pytest.mark.parametrize("hint", ["body=not_image", "body=bad_b64"])
async def test_what_is_no_image_is_a_bad_payload(client: HttpUpstream, tmp_path: Path, hint: str) -> None:
    images, _ = await exchange(client, hinted(hint), tmp_path)

    assert isinstance(images, Images)
    assert images.bad_payload


@pytest.mark.parametrize(
    "hint", ["delay=0", "body=both", "body=empty_strings", "body=no_created", "body=no_usage", "body=half_usage"]
)
@pytest.mark.parametrize("operation", ["generation", "edit"])
async def test_every_shape_of_a_good_answer_becomes_a_complete_response(
    client: HttpUpstream, tmp_path: Path, hint: str, operation: Any
) -> None:
    files = {"image": PNG, "image2": PNG} if operation == "edit" else None
    images, spool = await exchange(client, hinted(hint, operation=operation, files=files, directory=tmp_path), tmp_path)

    assert isinstance(images, Images)
    response = json.loads(b"".join(segments_chunks(images_response(images, created_s=7), spool)))
    assert base64.b64decode(response["data"][0]["b64_json"], validate=True).startswith(b"\x89PNG")
    assert response["created"] > 0
    assert "" not in response["data"][0].values()


async def stream(client: HttpUpstream, wanted: ImageRequest) -> list[ClientEvent]:
    answer = await client.send(wanted, model_drops_response_format=True, request_id="req_1")
    assert answer.content_type.startswith("text/event-stream")
    reader, converter = EventReader(), EventConverter(wanted, 7)
    events = []
    async with closing(answer):
        async for chunk in answer.chunks():
            events += reader.feed(chunk)
    return [shaped for event in events + reader.finish() if (shaped := converter.convert(event)) is not None]


@pytest.mark.parametrize("sandbox", ["N"], indirect=True)
@pytest.mark.parametrize("hint", ["partials=2", "partials=2 sse=ping", "partials=2 sse=no_done"])
async def test_a_stream_passes_with_its_partial_images(client: HttpUpstream, hint: str) -> None:
    wanted = image_request(stream=True, fields={"prompt": f"[[sandbox {hint}]]", "stream": True, "partial_images": 2})

    events = await stream(client, wanted)

    assert [event.kind for event in events] == ["partial", "partial", "completed"]
    assert events[-1].images is not None
    assert events[-1].images.usage is not None


@pytest.mark.parametrize("sandbox", ["N"], indirect=True)
async def test_an_error_in_a_stream_is_told(client: HttpUpstream) -> None:
    wanted = image_request(stream=True, fields={"prompt": "[[sandbox sse=error]]", "stream": True})

    assert (await stream(client, wanted))[-1].kind == "error"


@pytest.mark.parametrize("sandbox", ["N"], indirect=True)
async def test_a_stream_that_is_cut_is_broken(client: HttpUpstream) -> None:
    with pytest.raises(Broken):
        await stream(client, image_request(stream=True, fields={"prompt": "[[sandbox sse=cut]]", "stream": True}))


async def test_the_relays_models_are_listed_for_doctor(client: HttpUpstream) -> None:
    assert "gpt-image-1" in await models(client)
