import random
from collections.abc import AsyncIterator

import pytest

from app.upstream.client import Broken, HttpUpstream
from app.upstream.decoding import PIECE_BYTES, decoded
from tests.upstream.encodings import BOMB_BYTES, ENCODERS, bomb
from tests.upstream.raw_server import RawServer, Request


async def pieces(data: bytes, rng: random.Random) -> AsyncIterator[bytes]:
    while data:
        cut = rng.randint(1, rng.choice((3, 1000, 200_000)))
        yield data[:cut]
        data = data[cut:]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("seed", range(3))
async def test_a_body_is_the_same_however_it_is_encoded_and_cut(name: str, seed: int) -> None:
    rng, (encoding, encode) = random.Random(seed), ENCODERS[name]
    body = b'{"b64_json":"' + rng.randbytes(150_000) + bytes(700_000) + rng.randbytes(20) + b'"}'

    read = [piece async for piece in decoded(pieces(encode(body), rng), encoding)]

    assert b"".join(read) == body


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_gigabyte_in_a_small_body_comes_in_small_pieces(encoding: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield bomb(encoding)

    decoded_bytes = largest_bytes = 0
    async for piece in decoded(body(), encoding):
        decoded_bytes += len(piece)
        largest_bytes = max(largest_bytes, len(piece))
        if decoded_bytes > 32 * 1024 * 1024:
            break

    assert decoded_bytes > 32 * 1024 * 1024
    assert largest_bytes <= 2 * PIECE_BYTES < BOMB_BYTES  # brotli ends with a block of its own.


async def answer_of(relay: RawServer, upstream: HttpUpstream, body: bytes, encoding: str) -> bytes:
    async def step(request: Request) -> None:
        await request.answer(body, headers=f"Content-Encoding: {encoding}")

    relay.script.append(step)
    answer = await upstream.get("/")
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.close()


@pytest.mark.parametrize("name", ENCODERS)
async def test_an_answer_that_cannot_be_decoded_is_broken(relay: RawServer, upstream: HttpUpstream, name: str) -> None:
    encoding, encode = ENCODERS[name]
    body = b'{"created": 1, "data": []}'
    if name not in ("deflate", "deflate without its header", "br"):
        body = encode(b"x")[:1] + body

    with pytest.raises(Broken):
        await answer_of(relay, upstream, body, encoding)


@pytest.mark.parametrize("encoding", ["identity", "", "compress", "gzip, br", "gzip", "X-GZip", "zstd"])
async def test_an_answer_in_no_encoding_or_with_a_label_that_lies_passes_as_it_is(
    relay: RawServer, upstream: HttpUpstream, encoding: str
) -> None:
    assert await answer_of(relay, upstream, b'{"created": 1}', encoding) == b'{"created": 1}'


async def test_an_empty_answer_needs_no_decoding(relay: RawServer, upstream: HttpUpstream) -> None:
    assert await answer_of(relay, upstream, b"", "gzip") == b""
