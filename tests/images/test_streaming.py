"""Streamed answers: flat in memory, under the cap of plain ones, and never waiting for their client."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.images.answers import read_stored
from app.images.booking import CompleteAnswer
from app.images.streaming import PARTIALS_MAX, EventQueue, ReceivedAnswer
from app.sandbox import SandboxOptions, running_sandbox
from app.spool import Spool, segments_chunks
from app.upstream.classify import Verdict
from app.upstream.client import Broken
from tests.gateways import RELAY_KEY, running_gateway
from tests.upstream.given import PNG_B64, image_request

MIB = 1024 * 1024
HEAD = PNG_B64[:4000]
PICTURE = HEAD + "A" * (8 * MIB)


class Streamed:
    """An answer of `partials` pictures on their way and a complete one, of 8 MiB each."""

    status, content_type, upstream_request_id, retry_after = 200, "text/event-stream", None, None

    def __init__(self, partials: int):
        self._kinds = ["partial_image"] * partials + ["completed"]

    async def chunks(self) -> AsyncIterator[bytes]:
        for kind in self._kinds:
            yield f'data: {{"type": "image_generation.{kind}", "b64_json": "{HEAD}'.encode()
            for _ in range(128):
                yield b"A" * (64 * 1024)
            yield b'"}\n\n'

    async def close(self) -> None:
        pass


def streamed_answer(folder: Path, bytes_max: int = 1024 * MIB) -> tuple[ReceivedAnswer, EventQueue]:
    queue, spool = EventQueue(), Spool(folder, path=folder / "req_1")
    return ReceivedAnswer(spool, image_request(stream=True), 7, bytes_max, queue), queue


async def test_a_stream_takes_little_memory_though_its_client_reads_nothing(tmp_path: Path) -> None:
    stream, queue = streamed_answer(tmp_path)
    tracemalloc.start()
    outcome = await stream.read(Streamed(2 * PARTIALS_MAX))  # type: ignore[arg-type]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(outcome, CompleteAnswer)
    assert peak_bytes < 2 * MIB
    waiting = 0
    while (chunks := queue.take()) is not None:
        [_, data] = b"".join(chunks).decode().removesuffix("\n\n").split("\n")
        assert json.loads(data.removeprefix("data: "))["b64_json"] == PICTURE
        waiting += 1
    assert waiting == PARTIALS_MAX
    stream.close()


async def test_a_stored_stream_gives_the_bytes_that_were_held_back(tmp_path: Path) -> None:
    stream, _ = streamed_answer(tmp_path)
    outcome = await stream.read(Streamed(1))  # type: ignore[arg-type]
    assert isinstance(outcome, CompleteAnswer)

    again = read_stored(stream.spool, image_request(stream=True), 7)

    assert again is not None
    sent, replayed = (b"".join(segments_chunks(each.segments, stream.spool)) for each in (outcome, again))
    assert sent == replayed
    stream.close()


async def test_the_answer_cap_counts_all_bytes_of_a_stream(tmp_path: Path) -> None:
    stream, _ = streamed_answer(tmp_path, bytes_max=20 * MIB)

    outcome = await stream.read(Streamed(2))  # type: ignore[arg-type]

    assert isinstance(outcome, Verdict)
    assert outcome.outcome == "unknown"
    assert f"larger than {20 * MIB} bytes" in outcome.error.message
    assert stream.spool.size_bytes <= 20 * MIB
    stream.close()


@pytest.mark.parametrize(("bytes_max", "state"), [(10**6, "settled"), (2000, "unknown")])
async def test_a_stream_above_the_cap_of_answers_is_unknown(tmp_path: Path, bytes_max: int, state: str) -> None:
    body = {"model": "gpt-image-1", "prompt": "[[sandbox partials=2]] a cat", "stream": True, "partial_images": 2}
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, profile="N", latency_scale=0)) as relay,
        running_gateway(tmp_path, relay.base_url, upstream_answer_bytes_max=bytes_max) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        headers = {"Authorization": f"Bearer {(await running.key()).key}"}
        answer = await http.post("/v1/images/generations", json=body, headers=headers)

        [row] = await running.rows()
        assert row["state"] == state
        assert ("image_generation.completed" in answer.text) == (state == "settled")


class Cut:
    """A stream of these bytes, which then ends or breaks off."""

    status, content_type, upstream_request_id, retry_after = 200, "text/event-stream", None, None

    def __init__(self, body: bytes, *, breaks: bool):
        self._body = body
        self._breaks = breaks

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body
        if self._breaks:
            raise Broken("cut")

    async def close(self) -> None:
        pass


COMPLETED = b'data: {"type": "image_generation.completed", "b64_json": "%b"}' % HEAD.encode()
FAILED = b'data: {"type": "error", "error": {"message": "out of memory"}}'


@pytest.mark.parametrize("breaks", [False, True], ids=["ends", "breaks off"])
@pytest.mark.parametrize(
    ("body", "images"),
    [
        (COMPLETED, 1),
        (COMPLETED + b"\n\n" + COMPLETED, 2),
        (COMPLETED + b"\n\n" + COMPLETED[:-1], 1),
        (COMPLETED + b"\n\n" + FAILED + b"\n\n" + COMPLETED + b"\n\n", 1),
        (FAILED + b"\n\n" + COMPLETED + b"\n\n", 0),
    ],
    ids=["no empty line", "no empty line after the second", "half an event", "an error between", "an error first"],
)
async def test_a_stored_stream_is_read_again_to_the_end_it_was_booked_with(
    tmp_path: Path, body: bytes, images: int, *, breaks: bool
) -> None:
    """Also after the process died: what is in the file decides there whether a paid picture is delivered."""
    spool, request = Spool(tmp_path, path=tmp_path / "req_1"), replace(image_request(stream=True), n=2)
    stream = ReceivedAnswer(spool, request, 7, MIB, None)
    try:
        outcome: CompleteAnswer | Verdict | None = await stream.read(Cut(body, breaks=breaks))  # type: ignore[arg-type]
    except Broken:
        outcome = stream.answer_so_far()

    again = read_stored(spool, request, 7)

    booked, read = (len(each.images.items) if isinstance(each, CompleteAnswer) else 0 for each in (outcome, again))
    assert booked == read == images
    spool.close()
