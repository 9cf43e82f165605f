"""The metrics say what became of requests, of the money and of the parts, to Prometheus and nobody else."""

import math
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.sandbox import RunningSandbox
from app.store.reconciliation import DriftRow, save_drift
from app.store.relays import find_relay, update_relay
from tests.gateways import running_gateway
from tests.metrics.scraping import TOKEN, Watched, samples
from tests.server import free_port


async def test_each_end_and_each_refusal_is_counted_once(watched: Watched) -> None:
    bought = await watched.buy()
    refused_by_relay = await watched.buy("[[sandbox error=moderation]]")
    unknown = await watched.buy("[[sandbox body=garbage]]")
    broke = await watched.buy("[[sandbox error=wallet]]")
    await watched.running.limit("user", "lin", "images", "day", 0)
    refused = await watched.buy()

    assert [answer.status_code for answer in (bought, refused_by_relay, unknown, broke, refused)] == [
        200,
        400,
        424,
        503,
        429,
    ]
    ended = "imagegate_requests_total"
    assert await watched.value(ended, operation="generation", model="gpt-image-1", outcome="settled", code="none") == 1
    assert await watched.value(ended, outcome="released", code="relay") == 1
    assert await watched.value(ended, outcome="unknown", code="upstream_outcome_unknown") == 1
    assert await watched.value(ended) == 4
    assert await watched.value("imagegate_refusals_total", status="429", reason="insufficient_quota") == 1
    assert await watched.value("imagegate_images_total", model="gpt-image-1") == 1
    assert await watched.value("imagegate_cost_micros_total", model="gpt-image-1") == 1_000_000
    assert await watched.value("imagegate_zero_cost_total") == 0
    assert await watched.value("imagegate_alarms_total") == 1
    for name in ("request_duration_seconds", "relay_duration_seconds", "overhead_seconds"):
        assert await watched.value(f"imagegate_{name}_count") == 4


async def test_gauges_of_the_book_and_of_the_parts_follow_them(watched: Watched) -> None:
    await watched.refresh()
    assert await watched.value("imagegate_open_requests", relay="default", state="unknown") == 0
    await watched.buy("[[sandbox body=garbage]]")
    await watched.buy()
    while await watched.running.gateway.library.rows.count() == 0:
        await watched.running.gateway.chores.run_once("pictures")

    await watched.refresh()

    assert await watched.value("imagegate_open_requests", state="unknown") == 1
    assert await watched.value("imagegate_open_held_micros", state="unknown") == 1_000_000
    assert await watched.value("imagegate_open_oldest_seconds", state="unknown") >= 0
    assert await watched.value("imagegate_relay_up", relay="default") == 1
    assert await watched.value("imagegate_pictures") == 1
    assert await watched.value("imagegate_pictures_bytes") > 0
    schema = await watched.value("imagegate_schema_version")
    assert schema == await watched.value("imagegate_schema_version_newest") > 0
    assert await watched.value("imagegate_check_ok", check="database") == 1
    assert await watched.value("imagegate_in_flight") == 0
    assert await watched.value("imagegate_chore_last_success_timestamp_seconds", chore="heartbeat") > 1e9
    assert await watched.value("imagegate_chore_failing", chore="heartbeat") == 0
    assert await watched.value("imagegate_build_info", currency="CNY", sandbox="false") == 1


async def test_a_relay_that_refuses_is_told_beside_the_one_that_served(watched: Watched, relay: RunningSandbox) -> None:
    before = (await watched.http.get("/readyz")).json()
    await watched.add_refusing_relay(relay.base_url)

    assert [(await watched.buy()).status_code for _ in range(2)] == [200, 200]

    assert (before["status"], before["checks"]["relays"]) == ("ready", "ok")
    idle = {"code": None, "retry_in_s": None, "in_flight": 0, "good_s_ago": None}
    assert before["relays"] == [{"name": "default", "state": "closed", **idle}]
    answer = await watched.http.get("/readyz")
    ready = answer.json()
    [default, refusing] = sorted(ready["relays"], key=lambda each: str(each["name"]), reverse=True)
    assert (answer.status_code, ready["status"], ready["relay_queue"]) == (200, "degraded", 0)
    assert default == {**idle, "name": "default", "state": "closed", "good_s_ago": default["good_s_ago"]}
    assert default["good_s_ago"] >= 0
    assert refusing == {**idle, "name": "b", "state": "open", "code": "upstream_misconfigured"} | {
        "retry_in_s": refusing["retry_in_s"]
    }
    assert 0 < refusing["retry_in_s"] <= 18
    assert ready["checks"]["relays"] == f"b: upstream_misconfigured, asked again in {refusing['retry_in_s']} s"
    assert await watched.value("imagegate_relay_breaker_open", relay="b") == 1
    assert await watched.value("imagegate_relay_breaker_open", relay="default") == 0
    assert await watched.value("imagegate_relay_in_flight", relay="default") == 0
    assert await watched.value("imagegate_relay_queue") == 0
    assert await watched.value("imagegate_relay_failovers_total", relay="b", code="upstream_misconfigured") == 1
    assert await watched.value("imagegate_requests_total") == 2
    assert await watched.value("imagegate_requests_total", relay="default", outcome="settled") == 2
    assert await watched.value("imagegate_cost_micros_total", relay="default") == 2_000_000


async def test_a_relay_out_of_use_is_told_no_more(watched: Watched, relay: RunningSandbox) -> None:
    await watched.add_refusing_relay(relay.base_url)
    await watched.buy()
    async with watched.running.database.write() as connection:
        refusing = await find_relay(connection, "b")
        assert refusing is not None
        await update_relay(connection, replace(refusing, disabled_at_ms=1))

    watched.running.gateway.control_data.expire()
    ready = (await watched.http.get("/readyz")).json()

    assert (ready["status"], [each["name"] for each in ready["relays"]]) == ("ready", ["default"])
    assert 'imagegate_relay_breaker_open{relay="b"}' not in await watched.scrape()


async def test_each_relay_in_use_has_gauges_of_its_own(watched: Watched, relay: RunningSandbox) -> None:
    await watched.add_refusing_relay(relay.base_url)
    drift = [DriftRow(name, "2026-11-01", "m", 5, micros, 1, 1) for name, micros in (("default", 5), ("b", 7))]
    await save_drift(watched.running.database, drift)

    await watched.refresh()

    names = ("relay_up", "drift_booked_micros", "drift_billed_micros")
    found = {
        name: [await watched.value(f"imagegate_{name}", relay=each) for each in ("default", "b")] for name in names
    }
    assert found == {"relay_up": [1, 0], "drift_booked_micros": [5, 5], "drift_billed_micros": [5, 7]}
    assert math.isnan(await watched.value("imagegate_relay_balance_micros", relay="b"))
    async with watched.running.database.write() as connection:
        refusing = await find_relay(connection, "b")
        assert refusing is not None
        await update_relay(connection, replace(refusing, disabled_at_ms=1))
    await watched.refresh()
    assert 'imagegate_relay_up{relay="b"}' not in await watched.scrape()
    assert 'imagegate_relay_balance_micros{relay="b"}' not in await watched.scrape()


async def test_a_relay_that_is_not_there_is_down(tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path, f"http://127.0.0.1:{free_port()}", metrics_token=TOKEN) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        watched = Watched(running, http, await running.key())
        await watched.refresh()

        assert await watched.value("imagegate_relay_up", relay="default") == 0


async def test_no_label_names_a_key_a_user_or_a_project(watched: Watched) -> None:
    await watched.running.limit("user", "lin", "images", "day", 2)
    for prompt in ("a lighthouse", "[[sandbox body=garbage]]", "a third"):
        await watched.buy(prompt)
    await watched.buy(model="a-name-that-a-client-made-up")
    await watched.refresh()
    rows = await watched.running.rows()

    said = await watched.scrape()

    for row in rows:
        for secret in ("id", "api_key_id", "user_id", "project_id"):
            assert row[secret] not in said
    assert "lin" not in {label for sample in samples(said) for label in sample.labels.values()}
    assert "a-name-that-a-client-made-up" not in said


async def test_only_the_token_opens_them(watched: Watched) -> None:
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {watched.key.key}"}):
        answer = await watched.http.get("/metrics", headers=given)

        assert (answer.status_code, "imagegate_requests" in answer.text) == (401, False)


async def test_without_a_token_there_is_no_such_address(tmp_path: Path, relay: RunningSandbox) -> None:
    async with (
        running_gateway(tmp_path, relay.base_url) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        answer = await http.get("/metrics", headers={"Authorization": "Bearer x"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert "IMAGEGATE_METRICS_TOKEN" in answer.json()["error"]["message"]


async def test_a_port_of_their_own_needs_no_token_and_opens_no_route(tmp_path: Path, relay: RunningSandbox) -> None:
    port = free_port()
    async with (
        running_gateway(tmp_path, relay.base_url, metrics_port=port) as running,
        httpx2.AsyncClient(timeout=60) as http,
    ):
        own = await http.get(f"http://127.0.0.1:{port}/metrics")
        on_the_gateway = await http.get(f"{running.url}/metrics")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/metrics")

    assert own.status_code == 200
    assert "imagegate_in_flight 0.0" in own.text
    assert on_the_gateway.status_code == 404
