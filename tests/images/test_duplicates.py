"""Requests for what was bought before: named in the answer, served where the client wants it, and never somebody else's."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.control import usage
from app.control.audit import audit
from app.control.model_aliases import AliasChange, set_alias
from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage
from app.sandbox import RunningSandbox
from app.store.ledger import corrections
from app.store.tables import pictures, requests, results, served_duplicates
from app.store.usage import DuplicateSums
from tests.administration import disable_user
from tests.api.bodies import picture
from tests.gateways import running_gateway
from tests.held import HELD, answering
from tests.images.client import LARGE, Client, until

NewClient = Callable[[str], Awaitable[Client]]
OF = "x-imagegate-duplicate-of"
SERVE: Any = {"x_imagegate_duplicate": "serve"}


async def bought(client: Client, **fields: Any) -> str:
    """Buy a picture and have it kept; returns its id."""
    answer = await client.ask(LARGE | fields)
    assert answer.status_code == 200, answer.text
    await client.gateway.gateway.taking.take_all()
    return f"{answer.headers['x-request-id']}_0"


async def served_count(client: Client) -> int:
    async with client.gateway.database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.sum(served_duplicates.c.count)))).scalar_one() or 0)


async def test_what_is_bought_again_names_the_picture_there_is(client: Client) -> None:
    first = await client.ask(LARGE)
    at_once = await client.ask(LARGE)
    await client.gateway.gateway.taking.take_all()

    again = await client.ask({"n": 1, **LARGE, "response_format": None})
    await client.gateway.gateway.taking.take_all()

    assert OF not in first.headers
    assert at_once.headers[OF] == f"{first.headers['x-request-id']}_0"
    assert again.headers[OF] == f"{at_once.headers['x-request-id']}_0"
    assert (client.charges, again.headers["x-imagegate-cost"]) == (3, "1.00")
    rows = await client.gateway.rows()
    assert [row["duplicate_of"] for row in rows] == [None, at_once.headers[OF], again.headers[OF]]
    state = await client.get(f"/v1/images/requests/{again.headers['x-request-id']}")
    shown = await client.get(f"/v1/images/pictures/{again.headers['x-request-id']}_0")
    assert state.json()["duplicate_of"] == shown.json()["duplicate_of"] == again.headers[OF]


@pytest.mark.both
async def test_it_is_served_for_nothing_to_whoever_says_so(client: Client) -> None:
    first = await client.ask(LARGE | {"n": 2})
    await client.gateway.gateway.taking.take_all()
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.delete(results))  # The stored answer lives minutes, the pictures a month.

    served = await client.ask(LARGE | {"n": 2}, **SERVE)
    linked = await client.ask(LARGE | {"n": 2, "response_format": "url"}, retry=2, **SERVE)
    deferred = await client.ask(LARGE | {"n": 2}, prefer="respond-async", key="once", **SERVE)

    original = first.headers["x-request-id"]
    for answer in (served, linked, deferred):
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-imagegate-duplicate"] == "served"
        assert answer.headers[OF] == f"{original}_0"
        assert answer.headers["x-imagegate-cost"] == "0.00"
        assert answer.headers["x-imagegate-request-id"] == original
    items = [item["b64_json"] for item in first.json()["data"]]
    assert (
        [item["b64_json"] for item in served.json()["data"]]
        == items
        == [item["b64_json"] for item in deferred.json()["data"]]
    )
    links = [item["url"] for item in linked.json()["data"]]
    assert [base64.b64encode((await client.http.get(link)).content).decode() for link in links] == items
    assert (client.charges, len(await client.gateway.rows())) == (1, 1)
    await client.gateway.gateway.background.finish(5)
    assert await served_count(client) == 3


async def test_a_stream_is_served_as_a_stream(client: Client) -> None:
    first = await client.ask(LARGE | {"stream": True})
    await client.gateway.gateway.taking.take_all()

    served = await client.ask(LARGE | {"stream": True}, **SERVE)

    assert served.headers["content-type"].startswith("text/event-stream")
    assert served.headers["x-imagegate-duplicate"] == "served"
    assert served.text.count("image_generation.completed") == first.text.count("image_generation.completed")
    assert client.charges == 1


async def test_without_serve_and_without_all_its_pictures_it_is_bought(client: Client) -> None:
    id = await bought(client, n=2)
    async with client.gateway.database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(pictures))).scalar_one() == 2
    deleted = await client.http.delete(
        f"/v1/images/pictures/{id}", headers={"Authorization": f"Bearer {client.key.key}"}
    )
    assert deleted.status_code == 200

    answer = await client.ask(LARGE | {"n": 2}, **SERVE)

    assert "x-imagegate-duplicate" not in answer.headers
    assert answer.headers[OF] == f"{id[:-2]}_1"
    assert client.charges == 2


@pytest.mark.both
@pytest.mark.parametrize("gone", ["deleted", "expired"])
async def test_what_is_kept_no_longer_is_no_duplicate(client: Client, gone: str) -> None:
    id = await bought(client)
    async with client.gateway.database.transaction() as connection:
        if gone == "deleted":
            await connection.execute(sa.delete(pictures))
        else:
            await connection.execute(sa.update(pictures).values(kept_until_ms=1))

    answer = await client.ask(LARGE, **SERVE)

    assert (OF in answer.headers, client.charges) == (False, 2), id


async def test_others_and_other_projects_never_share_a_duplicate(new_client: NewClient) -> None:
    lin, bo = await new_client("lin"), await new_client("bo")
    await bought(lin)

    other = await bo.ask(LARGE, **SERVE)

    assert (OF in other.headers, lin.charges) == (False, 2)


async def test_another_key_of_the_same_user_in_the_same_project_is_served(new_client: NewClient) -> None:
    client, second = await new_client("lin"), await new_client("lin")
    id = await bought(client)

    answer = await second.ask(LARGE, **SERVE)

    assert second.key.id != client.key.id
    assert (answer.headers[OF], client.charges) == (id, 1)


async def test_a_retry_is_no_duplicate_and_equal_requests_at_once_are_two_purchases(client: Client) -> None:
    await bought(client)

    retried = await client.ask(LARGE, retry=1)
    asking = [asyncio.create_task(client.ask(LARGE | {"prompt": HELD}, **SERVE)) for _ in range(2)]
    await until(lambda: len(client.relay.sandbox.seen) == 3)
    with answering(client.relay):
        both = await asyncio.gather(*asking)
    keyed = await asyncio.gather(*(client.ask(LARGE | {"prompt": "one"}, key="k", **SERVE) for _ in range(2)))

    assert OF not in retried.headers
    assert [answer.headers.get("x-imagegate-duplicate") for answer in (*both, *keyed)] == [None] * 4
    assert sorted("idempotent-replayed" in answer.headers for answer in keyed) == [False, True]
    charged = [row["fingerprint"] for row in await client.gateway.rows() if row["state"] == "settled"]
    assert len(charged) == client.charges


async def test_the_quote_says_what_was_bought(client: Client) -> None:
    quote: Any = {"url": "/v1/images/quote", "json": LARGE, "headers": {"Authorization": f"Bearer {client.key.key}"}}
    before = await client.http.post(**quote)
    id = await bought(client)

    after = await client.http.post(**quote)

    assert (before.json()["duplicate_of"], after.json()["duplicate_of"]) == (None, id)


async def test_a_word_that_is_not_serve_is_refused(client: Client) -> None:
    answer = await client.ask(LARGE, x_imagegate_duplicate="server")

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-imagegate-duplicate")
    assert client.charges == 0


@pytest.mark.parametrize("given", [{"pictures_keep_days": 0}, {"prompts": "none"}])
async def test_without_pictures_or_prompts_nothing_is_a_duplicate(
    tmp_path: Path, relay: RunningSandbox, given: dict[str, Any], client: Client
) -> None:
    (tmp_path / "other").mkdir()
    async with running_gateway(tmp_path / "other", relay.base_url, **given) as gateway:
        http = client.http.__class__(base_url=gateway.url, timeout=30)
        async with http:
            other = Client(http, await gateway.key("lin"), relay, gateway)
            answers = [await other.ask(LARGE, **SERVE) for _ in range(2)]

        assert [OF in answer.headers for answer in answers] == [False, False]
        assert [row["duplicate_digest"] for row in await gateway.rows()] == [None, None]


async def test_prices_aliases_edited_files_and_disabled_users(new_client: NewClient) -> None:
    """What changes between two equal requests changes nothing, or makes it another request."""
    client = await new_client("lin")
    gateway, http = client.gateway.gateway, client.http
    await set_alias(gateway.database, AliasChange("poster", "gpt-image-1"))

    async def ask(prompt: str, **more: Any) -> str | None:
        answer = await client.ask(LARGE | {"prompt": prompt} | more, **SERVE)
        assert answer.status_code == 200, answer.text
        await gateway.taking.take_all()
        return answer.headers.get("x-imagegate-duplicate")

    async def edit(content: bytes) -> str | None:
        headers = {"Authorization": f"Bearer {client.key.key}", "x-imagegate-duplicate": "serve"}
        form: Any = {"data": {"prompt": "a hat", "model": "gpt-image-1"}, "files": {"image": ("a.png", content)}}
        answer = await http.post("/v1/images/edits", headers=headers, **form)
        assert answer.status_code == 200, answer.text
        await gateway.taking.take_all()
        return answer.headers.get("x-imagegate-duplicate")

    assert await ask("one") is None
    await set_price(gateway.database, gateway.zone, PriceEntry("gpt-image-1", PerImage(10)))
    assert await ask("one") == "served"
    assert await ask("one", model="poster") == "served"
    await set_alias(gateway.database, AliasChange("poster", "seedream-3.0"))
    gateway.control_data.expire()
    assert await ask("one", model="poster") is None

    small, other = picture(), picture(width=9)
    assert [await edit(content) for content in (small, small, other)] == [None, "served", None]

    await client.gateway.limit("user", "lin", "micros", "day", 0)
    assert await ask("one") == "served"
    refused = await client.ask(LARGE | {"prompt": "one"})
    await disable_user(gateway.database, "lin")
    gateway.control_data.expire()
    disabled = await client.ask(LARGE | {"prompt": "one"}, **SERVE)
    assert (refused.status_code, disabled.status_code) == (429, 401)


async def test_a_key_that_may_not_use_the_model_is_not_served(client: Client) -> None:
    await bought(client)
    narrow = await client.gateway.key("lin", models=("seedream-3.0",))

    answer = await Client(client.http, narrow, client.relay, client.gateway).ask(LARGE, **SERVE)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")


@pytest.mark.both
async def test_a_served_answer_is_not_the_delivery_that_the_retry_of_the_original_waits_for(client: Client) -> None:
    await bought(client)
    await client.gateway.gateway.chores.stop()  # The delivery is noted, and no later one is while this looks.
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.update(requests).values(delivered_at_ms=None))

    await client.ask(LARGE, **SERVE)
    await client.gateway.gateway.background.finish(5)
    await client.gateway.gateway.image_service._deliveries.write()

    assert [row["delivered_at_ms"] for row in await client.gateway.rows()] == [None]


@pytest.mark.both
async def test_usage_counts_what_was_bought_twice_and_what_was_served(new_client: NewClient) -> None:
    lin, mia = await new_client("lin"), await new_client("mia")
    gateway = lin.gateway.gateway
    await bought(lin)
    again = await lin.ask(LARGE)
    for client in (lin, mia, mia):
        await client.ask(LARGE, **SERVE)
    await gateway.background.finish(5)
    late = corrections.Correction(again.headers["x-request-id"], "short", "the bill", "a test", 1, cost_micros=500_000)
    await corrections.post(gateway.database, late, gateway.zone)

    by_user = await usage.report(gateway.database, ["user", "day"], zone=gateway.zone)
    over = await usage.report(gateway.database, ["model"], until="2020-01-01", zone=gateway.zone)

    found = {row.names[0][0]: (row.sums.requests, row.sums.cost_micros, row.duplicates) for row in by_user.rows}
    assert found == {
        "lin": (2, 2_500_000, DuplicateSums(1, 1_500_000, 1)),
        "mia": (1, 1_000_000, DuplicateSums(0, 0, 1)),
    }
    assert (by_user.duplicates, over.rows) == (DuplicateSums(1, 1_500_000, 2), ())
    assert (await audit(gateway.database, gateway.zone)).differences == ()
