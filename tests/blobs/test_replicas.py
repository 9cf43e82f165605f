"""Replicas that share no directory share their answers through a bucket, and a bucket that fails costs nobody a picture."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.blobs.folder import BlobUnavailable
from app.images.crash import VARIABLE
from app.sandbox import RunningSandbox
from app.store.engine import Database, DatabaseUrl, open_database
from tests.buckets import TestBucket
from tests.gateways import Running, book, gateway_process, new_key, prepare, running_gateway
from tests.money.books import until

SMALL = {"model": "seedream-3.0", "prompt": "a lighthouse"}
LARGE = {"model": "gpt-image-1", "prompt": "a lighthouse"}
NOWHERE = {"results_endpoint": "http://127.0.0.1:9"}
MONTH_MS = 31 * 86_400_000
Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def gateways(
    relay: RunningSandbox, tmp_path: Path, postgres_url: str, bucket: TestBucket
) -> AsyncIterator[Start]:
    """Starts replicas on one PostgreSQL and one bucket, each with a directory of its own. They keep no pictures unless told to."""
    async with AsyncExitStack() as stack:

        async def start(folder: str, **settings: Any) -> Running:
            given = {"pictures_keep_days": 0} | bucket.settings | settings
            opening = running_gateway(tmp_path / folder, relay.base_url, database_url=postgres_url, **given)
            return await stack.enter_async_context(opening)

        yield start


@pytest.fixture
async def book_database(postgres_url: str) -> AsyncIterator[Database]:
    database = open_database(DatabaseUrl("postgresql", url=postgres_url))
    yield database
    await database.close()


async def ask(url: str, secret: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    given = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "order-1"} | headers
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        return await http.post("/v1/images/generations", json=body, headers=given)


async def ready(gateway: Running) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=60) as http:
        answer: dict[str, Any] = (await http.get("/readyz")).json()
        return answer


@pytest.mark.parametrize("body", [LARGE, LARGE | {"n": 2}, LARGE | {"stream": True}], ids=["one", "two", "stream"])
async def test_what_one_replica_bought_another_replays_byte_for_byte(
    gateways: Start, relay: RunningSandbox, bucket: TestBucket, body: dict[str, Any]
) -> None:
    a, b = await gateways("a"), await gateways("b")
    key = (await a.key()).key
    first = await ask(a.url, key, body)

    again = await ask(b.url, key, body)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(relay.sandbox.bill) == 1
    assert await bucket.names() == [(await a.rows())[0]["id"]]


async def test_a_small_answer_stays_in_the_book(gateways: Start, bucket: TestBucket) -> None:
    a, b = await gateways("a"), await gateways("b")
    key = (await a.key()).key

    assert (await ask(a.url, key, SMALL)).content == (await ask(b.url, key, SMALL)).content
    assert await bucket.names() == []


@pytest.mark.parametrize("body", [LARGE, LARGE | {"stream": True}], ids=["plain", "stream"])
async def test_what_a_replica_settled_before_it_was_killed_another_replays(
    gateways: Start,
    relay: RunningSandbox,
    bucket: TestBucket,
    tmp_path: Path,
    postgres_url: str,
    book_database: Database,
    body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await prepare(DatabaseUrl("postgresql", url=postgres_url))
    key = (await new_key(book_database)).key
    monkeypatch.setenv(VARIABLE, "after_settle")
    async with gateway_process(tmp_path / "a", relay.base_url, database_url=postgres_url, **bucket.settings) as a:
        with pytest.raises(httpx2.TransportError):
            (await ask(a.url, key, body)).raise_for_status()
    monkeypatch.delenv(VARIABLE)
    shutil.rmtree(tmp_path / "a")
    b = await gateways("b")

    answer = await ask(b.url, key, body)

    assert answer.status_code == 200
    assert "b64_json" in answer.text
    assert answer.headers["idempotent-replayed"] == "true"
    assert len(relay.sandbox.bill) == 1


async def test_what_was_uploaded_but_not_settled_by_a_dead_process_is_settled_and_waits_while_the_bucket_is_away(
    gateways: Start,
    relay: RunningSandbox,
    bucket: TestBucket,
    tmp_path: Path,
    postgres_url: str,
    book_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await prepare(DatabaseUrl("postgresql", url=postgres_url))
    key = (await new_key(book_database)).key
    monkeypatch.setenv(VARIABLE, "before_settle")
    async with gateway_process(tmp_path / "a", relay.base_url, database_url=postgres_url, **bucket.settings) as a:
        with pytest.raises(httpx2.TransportError):
            await ask(a.url, key, LARGE)
    monkeypatch.delenv(VARIABLE)
    shutil.rmtree(tmp_path / "a" / "results")
    given = {"database_url": postgres_url} | bucket.settings
    async with running_gateway(tmp_path / "a", relay.base_url, **given | NOWHERE):
        assert [row["state"] for row in await book(book_database)] == ["dispatched"]

    again = await gateways("a")

    assert [row["state"] for row in await book(book_database)] == ["settled"]
    assert (await ask(again.url, key, LARGE)).status_code == 200
    assert len(relay.sandbox.bill) == 1


async def test_while_the_bucket_is_away_the_client_gets_its_picture_and_the_upload_follows(
    gateways: Start, relay: RunningSandbox, bucket: TestBucket
) -> None:
    a, b = await gateways("a"), await gateways("b")
    key = (await a.key()).key
    bucket.server.kill()
    first = await ask(a.url, key, LARGE)
    own, others, state = await ask(a.url, key, LARGE), await ask(b.url, key, LARGE), await ready(a)

    bucket.server.start()
    bucket.make()

    async def shared() -> bool:
        return await bucket.names() != [] and (await ready(a))["status"] == "ready"

    await until(shared)
    again = await ask(b.url, key, LARGE)
    assert first.status_code == 200
    assert first.content == own.content == again.content
    assert (others.status_code, others.json()["error"]["code"]) == (503, "store_unavailable")
    assert int(others.headers["retry-after"]) > 0
    assert "x-should-retry" not in others.headers
    assert state["status"] == "degraded"
    assert state["checks"]["results"] == "the bucket does not work"
    assert len(relay.sandbox.bill) == 1


async def test_an_upload_that_waits_is_made_after_a_restart(
    gateways: Start, relay: RunningSandbox, bucket: TestBucket, tmp_path: Path, postgres_url: str
) -> None:
    given = {"database_url": postgres_url} | bucket.settings
    async with running_gateway(tmp_path / "a", relay.base_url, **given | NOWHERE) as a:
        key = (await a.key()).key
        first = await ask(a.url, key, LARGE)
        assert await bucket.names() == []

    await gateways("a")
    await until(lambda: _any(bucket))

    b = await gateways("b")
    assert (await ask(b.url, key, LARGE)).content == first.content
    assert list((tmp_path / "a" / "results" / "waiting").iterdir()) == []


async def _any(bucket: TestBucket) -> bool:
    return await bucket.names() != []


@pytest.mark.slow
async def test_a_bucket_that_hangs_keeps_no_client_waiting_for_its_return(gateways: Start, bucket: TestBucket) -> None:
    a = await gateways("a")
    key = (await a.key()).key
    bucket.server.pause()
    try:
        first = await ask(a.url, key, LARGE)
        second = await ask(a.url, key, LARGE, **{"Idempotency-Key": "order-2"})
    finally:
        bucket.server.resume()

    assert first.status_code == second.status_code == 200


async def test_a_missing_answer_is_told_as_late_at_first_and_as_gone_later_and_never_bought(
    gateways: Start, relay: RunningSandbox, bucket: TestBucket
) -> None:
    a, b = await gateways("a"), await gateways("b")
    key = (await a.key()).key
    await ask(a.url, key, LARGE)
    await b.gateway.kept_answers.blobs.remove(await bucket.names())

    early = await ask(b.url, key, LARGE)
    b.gateway.clock.set(b.gateway.clock.now_ms() + 3_600_000)
    late = await ask(b.url, key, LARGE)

    assert (early.status_code, late.status_code) == (503, 410)
    assert len(relay.sandbox.bill) == 1


async def test_pruning_removes_rows_objects_and_own_files(gateways: Start, bucket: TestBucket, tmp_path: Path) -> None:
    a = await gateways("a")
    await ask(a.url, (await a.key()).key, LARGE)
    assert await bucket.names() != []
    results = a.gateway.kept_answers

    assert await results.prune(a.gateway.clock.now_ms() + MONTH_MS) == 1

    assert await bucket.names() == []
    assert list((tmp_path / "a" / "results").glob("req_*")) == []


async def test_what_the_bucket_does_not_let_go_of_keeps_its_row_until_it_does(
    gateways: Start, bucket: TestBucket
) -> None:
    a = await gateways("a")
    await ask(a.url, (await a.key()).key, LARGE)
    results, later_ms = a.gateway.kept_answers, a.gateway.clock.now_ms() + MONTH_MS
    bucket.server.kill()
    with pytest.raises(BlobUnavailable):
        await results.prune(later_ms)
    bucket.server.start()
    bucket.make()

    async def pruned() -> bool:
        with suppress(BlobUnavailable):
            return await results.prune(later_ms) == 1
        return False

    await until(pruned)


async def test_pictures_go_to_the_bucket_and_are_put_back_into_answers_by_every_replica(
    gateways: Start, relay: RunningSandbox, bucket: TestBucket, tmp_path: Path
) -> None:
    a, b = await gateways("a", pictures_keep_days=30), await gateways("b", pictures_keep_days=30)
    key, body = (await a.key()).key, LARGE | {"n": 2}
    first = await ask(a.url, key, body)

    await until(lambda: _are_pictures(bucket, 2))

    shutil.rmtree(tmp_path / "a" / "pictures")
    assert (await ask(b.url, key, body)).content == first.content
    assert list((tmp_path / "a" / "results").glob("req_*")) == []
    assert len(relay.sandbox.bill) == 1


async def test_while_the_bucket_is_away_answers_keep_their_pictures(gateways: Start, bucket: TestBucket) -> None:
    a = await gateways("a", pictures_keep_days=30)
    key = (await a.key()).key
    bucket.server.kill()
    first = await ask(a.url, key, LARGE)
    with pytest.raises(BlobUnavailable):
        await a.gateway.taking.take_all()
    assert await a.gateway.kept_answers.prune(a.gateway.clock.now_ms() + MONTH_MS) == 0
    assert (await ask(a.url, key, LARGE)).content == first.content
    bucket.server.start()
    bucket.make()
    await until(lambda: _are_pictures(bucket, 1))

    assert (await ask(a.url, key, LARGE)).content == first.content


async def _are_pictures(bucket: TestBucket, count: int) -> bool:
    names = await bucket.names()
    return len(names) == count and all(name.startswith("pictures/") for name in names)


async def test_replicas_that_share_nothing_say_so(relay: RunningSandbox, tmp_path: Path, postgres_url: str) -> None:
    async with running_gateway(tmp_path / "a", relay.base_url, database_url=postgres_url) as a:
        alone = await ready(a)
        async with running_gateway(tmp_path / "b", relay.base_url, database_url=postgres_url):
            apart = await ready(a)
        async with running_gateway(tmp_path / "a", relay.base_url, database_url=postgres_url):
            together = await ready(a)

    assert (alone["status"], apart["status"], together["status"]) == ("ready", "degraded", "ready")
    assert apart["checks"]["results"] == "not shared with 1 other replica"
