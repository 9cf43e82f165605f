"""Streams whose pictures come as links of the relay: base64 for the client, as of every stream."""

import base64
import io
import json

import pytest
from PIL import Image

from tests.images.client import SMALL
from tests.images.linking_relay import PNG, gone, linking_relay, picture
from tests.images.test_linked import LOOPBACK, Opened, opened  # noqa: F401  # a fixture
from tests.upstream.raw_server import Request


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    return file.getvalue()


JPEG = jpeg()


async def photograph(request: Request) -> None:
    await request.answer(JPEG)


@pytest.mark.parametrize("is_json", [False, True])
async def test_a_stream_of_links_is_base64_for_its_client_and_for_a_replay(
    opened: Opened,  # noqa: F811
    is_json: bool,
) -> None:
    async with linking_relay() as relay:
        client = await opened(relay.url, **LOOPBACK)
        items = [{"url": f"{relay.url}/{name}"} for name in ("one", "gone", "two")]
        lines = [json.dumps({"type": "image_generation.completed", **item}) for item in items]
        events = "".join(f"data: {line}\n\n" for line in lines).encode()

        async def step(request: Request) -> None:
            body = json.dumps({"created": 1, "data": items}).encode() if is_json else events
            await request.answer(
                body, headers=f"Content-Type: {'application/json' if is_json else 'text/event-stream'}"
            )

        answers = {"/one": picture, "/two": photograph, "/gone": gone}
        relay.script = [step, *[lambda request: answers[request.line.split(" ")[1]](request)] * 3]
        first = await client.ask(SMALL | {"stream": True, "n": 3}, key="one")
        again = await client.ask(SMALL | {"stream": True, "n": 3}, key="one")

    sent = [json.loads(line[6:]) for line in first.text.splitlines() if line.startswith("data: ")]
    assert [each["type"] for each in sent] == ["image_generation.completed"] * 3
    first_b64, last_b64 = base64.b64encode(PNG).decode(), base64.b64encode(JPEG).decode()
    assert [(each.get("b64_json"), each.get("url")) for each in sent] == [
        (first_b64, None),
        (None, items[1]["url"]),
        (last_b64, None),
    ]
    assert [sent[0]["output_format"], sent[2]["output_format"]] == ["png", "jpeg"]
    assert again.text == first.text
    assert len(relay.requests) == 4
