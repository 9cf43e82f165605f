"""What everybody may ask with their own API key."""

import asyncio
import base64
import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from app.sandbox import RunningSandbox
from tests.api.organization.conftest import Office
from tests.gateways import running_gateway

BODY = {"model": "seedream-3.0", "prompt": "a lighthouse", "n": 2}


async def ask(office: Office, key: str, method: str, path: str, **given: Any) -> httpx2.Response:
    return await office.http.request(method, path, headers={"Authorization": f"Bearer {key}"}, **given)


async def test_a_key_tells_whose_it_is_what_it_may_use_and_how_every_limit_stands(office: Office) -> None:
    created = await office.running.key(models=("seedream-3.0", "imagen4"))
    [user] = (await office.get("/users"))["data"]
    limits: list[tuple[Any, str, Any, Any, int]] = [
        ("key", created.id, "requests", "minute", 5),
        ("user", "lin", "micros", "month", 1_000_000),
        ("project", "default", "in_flight", "lifetime", 3),
        ("organization", "", "images", "day", 10),
    ]
    for limit in limits:
        await office.running.limit(*limit)
    assert await office.image(created.key) == 200

    shown = (await ask(office, created.key, "GET", "/v1/key")).json()

    assert {name: shown[name] for name in ("object", "id", "name", "models", "currency", "expires_at")} == {
        "object": "api_key",
        "id": created.id,
        "name": "lin",
        "models": ["seedream-3.0"],
        "currency": "CNY",
        "expires_at": None,
    }
    assert shown["owner"] == {"type": "user", "id": user["id"], "name": "lin"}
    assert shown["project"] == {"id": "proj_default", "name": "default"}
    assert created.key not in str(shown)
    stands = [(each["scope"], each["unit"], each["interval"]) for each in shown["limits"]]
    assert stands == [
        ("key", "requests", "minute"),
        ("user", "micros", "month"),
        ("project", "in_flight", "lifetime"),
        ("organization", "images", "day"),
    ]
    figures = [[each[name] for name in ("amount", "spent", "held", "left")] for each in shown["limits"]]
    assert figures == [[5, 1, 0, 4], [1_000_000, 80_000, 0, 920_000], [3, 0, 0, 3], [10, 1, 0, 9]]
    assert [each["resets_at"] is None for each in shown["limits"]] == [False, False, True, False]


async def test_looking_spends_nothing(office: Office) -> None:
    created = await office.running.key()
    await office.running.limit("user", "lin", "requests", "minute", 1)

    for _ in range(3):
        assert (await ask(office, created.key, "GET", "/v1/key")).json()["limits"][0]["left"] == 1
        assert (await ask(office, created.key, "POST", "/v1/images/quote", json=BODY)).json()["allowed"]

    assert await office.image(created.key) == 200
    assert (await ask(office, created.key, "GET", "/v1/key")).json()["limits"][0]["left"] == 0


async def test_a_quote_tells_the_price_and_what_would_be_left_and_buys_nothing(office: Office) -> None:
    created = await office.running.key()
    await office.running.limit("user", "lin", "micros", "month", 1_000_000)
    await office.running.limit("user", "lin", "images", "minute", 5)
    await office.running.limit("user", "lin", "images", "day", 5, "gpt-image-1")

    quote = (await ask(office, created.key, "POST", "/v1/images/quote", json=BODY)).json()

    about = ("object", "operation", "model", "n", "amount", "amount_micros", "currency", "allowed", "refused_by")
    assert [quote[name] for name in about] == [
        "image.quote",
        "generation",
        "seedream-3.0",
        2,
        "0.16",
        160_000,
        "CNY",
        True,
        None,
    ]
    figures = [
        [each[name] for name in ("unit", "interval", "needed", "left", "left_after")] for each in quote["limits"]
    ]
    assert figures == [["images", "minute", 2, 5, 3], ["micros", "month", 160_000, 1_000_000, 840_000]]
    assert await office.running.rows() == []
    assert await office.running.counters() == []


async def test_a_quote_names_the_limit_that_would_refuse_it_as_buying_does(office: Office) -> None:
    created = await office.running.key()
    await office.running.limit("organization", "", "micros", "month", 150_000)
    await office.running.limit("user", "lin", "images", "lifetime", 1)

    quote = (await ask(office, created.key, "POST", "/v1/images/quote", json=BODY)).json()
    refusal = await ask(office, created.key, "POST", "/v1/images/generations", json=BODY)

    assert not quote["allowed"]
    assert (quote["refused_by"]["name"], quote["refused_by"]["left_after"]) == ("lifetime image quota of user lin", -1)
    assert refusal.status_code == 429
    assert quote["refused_by"]["name"] in refusal.json()["error"]["message"]
    [_, spend] = quote["limits"]
    assert spend["left_after"] == -10_000


async def test_a_rate_is_asked_before_a_quota(office: Office) -> None:
    created = await office.running.key()
    await office.running.limit("user", "lin", "images", "day", 1)
    await office.running.limit("user", "lin", "images", "minute", 1)

    quote = (await ask(office, created.key, "POST", "/v1/images/quote", json=BODY)).json()

    assert quote["refused_by"]["interval"] == "minute"


async def test_an_edit_is_quoted_as_a_form_and_as_json(office: Office) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "png")
    picture = file.getvalue()
    created = await office.running.key()
    fields = {"model": "gpt-image-1", "prompt": "make it night"}

    form = await ask(office, created.key, "POST", "/v1/images/quote", data=fields, files={"image": ("a.png", picture)})
    inline = {"images": [{"image_url": "data:image/png;base64," + base64.b64encode(picture).decode()}]}
    as_json = await ask(office, created.key, "POST", "/v1/images/quote", json=fields | inline)

    for answer in (form, as_json):
        assert answer.status_code == 200, answer.text
        assert (answer.json()["operation"], answer.json()["amount_micros"]) == ("edit", 1_000_000)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "nope", "prompt": "x"}, 404, "model_not_found"),
        ({"model": "imagen4", "prompt": "x"}, 400, "model_not_priced"),
        ({"model": "gpt-image-1", "prompt": "x"}, 403, "model_not_allowed"),
        ({"model": "seedream-3.0"}, 400, "missing_required_parameter"),
        ({"model": "seedream-3.0", "prompt": "x", "n": 11}, 400, "invalid_value"),
    ],
)
async def test_what_is_wrong_with_a_request_is_the_same_error_in_its_quote(
    office: Office, body: dict[str, Any], status: int, code: str
) -> None:
    created = await office.running.key(models=("seedream-3.0", "imagen4"))

    quoted = await ask(office, created.key, "POST", "/v1/images/quote", json=body)
    bought = await ask(office, created.key, "POST", "/v1/images/generations", json=body)

    assert (quoted.status_code, quoted.json()["error"]["code"]) == (status, code)
    assert quoted.json() == bought.json()


async def test_everybody_sees_their_own_usage_and_nobody_elses(office: Office) -> None:
    lin, also_lin, mei = [await office.running.key(name) for name in ("lin", "lin", "mei")]
    for created in (lin, also_lin, mei):
        assert await office.image(created.key) == 200
    users = {user["name"]: user["id"] for user in (await office.get("/users"))["data"]}

    for path, figure in (("/v1/usage/images", "num_model_requests"), ("/v1/costs", "amount_micros")):

        async def figures(key: str, **query: Any) -> dict[str, int]:
            asked = {"start_time": 1_600_000_000, "limit": 0, "group_by[]": ["api_key_id", "user_id"]} | query
            now_s = await office.running.database.now_ms() // 1000
            answer = await ask(office, key, "GET", path, params=asked | {"start_time": now_s - 3600})  # noqa: B023
            assert answer.status_code == 200, answer.text
            results = [result for bucket in answer.json()["data"] for result in bucket["results"]]
            assert {result["user_id"] for result in results} <= {users["lin"]}
            return {result["api_key_id"]: result[figure] for result in results}  # noqa: B023

        assert set(await figures(lin.key)) == {lin.id, also_lin.id}
        assert set(await figures(lin.key, **{"api_key_ids[]": [lin.id, mei.id]})) == {lin.id}
        assert await figures(lin.key, **{"api_key_ids[]": [mei.id]}) == {}
        assert await figures(lin.key, user_ids=users["lin"]) == await figures(lin.key)
        refused = await ask(office, lin.key, "GET", path, params={"start_time": 0, "user_ids": users["mei"]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("path", ["/v1/key", "/v1/usage/images?start_time=0", "/v1/costs?start_time=0"])
async def test_only_an_api_key_that_works_is_answered(office: Office, path: str) -> None:
    created = await office.running.key()

    assert (await ask(office, created.key, "GET", path)).status_code == 200
    assert (await ask(office, office.owner, "GET", path)).status_code == 401
    assert (await ask(office, "nonsense", "GET", path)).status_code == 401


async def test_the_guard_by_address_holds_for_each_of_them(tmp_path: Any, relay: RunningSandbox) -> None:
    async with running_gateway(tmp_path, relay.base_url, guard_own_per_minute=2) as running:
        headers = {"Authorization": f"Bearer {(await running.key()).key}"}
        async with httpx2.AsyncClient(base_url=running.url, headers=headers, verify=False, timeout=60) as http:
            calls = [("GET", path) for path in ("/v1/key", "/v1/usage/images?start_time=0", "/v1/costs?start_time=0")]
            for method, path in [*calls, ("POST", "/v1/images/quote")]:
                body = BODY if method == "POST" else None
                answers = await asyncio.gather(*(http.request(method, path, json=body) for _ in range(3)))
                assert sorted(answer.status_code for answer in answers) == [200, 200, 429], path
            others = [(await http.get(f"/v1/images/pictures/req_{number}_0")).status_code for number in range(3)]
            assert others == [404, 404, 429]
