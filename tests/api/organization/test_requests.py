"""The book over the API: what is in it, decisions about unknown requests, reconciliation, audit and doctor."""

import csv
import io
import time
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.administration import open_administration
from app.core.actors import Actor
from app.main import create_administration_app
from app.sandbox import BillLine, RunningSandbox
from app.store.tables import usage
from tests.administration import DOCTOR_CHECKS
from tests.api.organization.conftest import Office
from tests.databases import insert_refusal, insert_request

HOUR_MS = 3_600_000
THEN_MS = time.time_ns() // 1_000_000_000 * 1000 - 2 * HOUR_MS


@pytest.fixture
async def unknown(office: Office) -> list[str]:
    """Ids of four unknown requests of lin's, an hour apart, oldest first."""
    lin = await office.post("/users", name="lin")
    key = await office.post("/projects/proj_default/api_keys", user_id=lin["id"])
    ids = [f"req_{number}" for number in range(4)]
    for number, id in enumerate(ids):
        at_ms = THEN_MS + (number - 3) * HOUR_MS
        sent = {"state": "unknown", "dispatched_at_ms": at_ms, "reserved_at_ms": at_ms, "http_status": 424}
        await insert_request(office.running.database, lin["id"], key["id"], id=id, **sent)
    return ids


async def test_requests_are_listed_newest_first_in_pages_and_by_whose_and_what(
    office: Office, unknown: list[str]
) -> None:
    first = await office.get("/requests", limit=3)
    rest = await office.get("/requests", limit=3, after=first["last_id"])

    assert [each["id"] for each in first["data"] + rest["data"]] == unknown[::-1]
    assert first["has_more"] and not rest["has_more"]
    key = first["data"][0]["api_key_id"]
    await office.post("/projects", name="web")
    for query in ("user=lin", "project=default", f"key={key}", "state=unknown&model=gpt-image-1"):
        assert len((await office.get(f"/requests?{query}"))["data"]) == 4, query
    for query in ("state=settled", "model=imagen4", "key=key_x", "project=web", f"until={THEN_MS // 1000 - 86_400}"):
        assert (await office.get(f"/requests?{query}"))["data"] == [], query
    since = await office.get("/requests", since=(THEN_MS - HOUR_MS) // 1000)
    assert [each["id"] for each in since["data"]] == unknown[:1:-1]
    who = {name: first["data"][0][name] for name in ("user_id", "api_key_id")}
    await insert_request(office.running.database, *who.values(), id="req_alias", asked_model="dall-e-3")
    assert [each["id"] for each in (await office.get("/requests?model=dall-e-3"))["data"]] == ["req_alias"]
    assert (await office.refused("GET", "/requests", state="lost"))[0] == 400
    assert (await office.refused("GET", "/requests", user="nobody"))[0] == 404


@pytest.fixture
async def refused(office: Office) -> list[str]:
    """Ids of three refusals of one instant, of mia, bo and mia, by rising id."""
    ids = []
    users = {name: await office.post("/users", name=name, email=f"{name}@example.com") for name in ("mia", "bo")}
    for number, name in enumerate(("mia", "bo", "mia")):
        user = users[name]
        key = await office.post("/projects/proj_default/api_keys", user_id=user["id"])
        ids.append(f"req_r{number}")
        refusal = {"id": ids[-1], "at_ms": THEN_MS, "model": "dall-e-3", "limit": f"quota of {name}"}
        await insert_refusal(office.running.database, user["id"], key["id"], **refusal)
    return ids


async def test_refusals_are_listed_by_whose_and_what_and_paged_through_equal_times(
    office: Office, refused: list[str]
) -> None:
    first = await office.get("/refusals", limit=2)
    rest = await office.get("/refusals", limit=2, after=first["last_id"])

    assert [each["id"] for each in first["data"] + rest["data"]] == refused[::-1]
    assert first["has_more"] and not rest["has_more"]
    bo = first["data"][1]
    assert (bo["user"], bo["created_at"], bo["limit"]) == ("bo", THEN_MS // 1000, "quota of bo")
    since, key = THEN_MS // 1000, bo["api_key_id"]
    await office.post("/projects", name="web")
    for query, count in {
        "user=bo": 1, "user=mia@example.com": 2, f"key={key}": 1, "project=default": 3, "project=web": 0, "model=dall-e-3": 3,
        "model=gpt-image-1": 0, "code=insufficient_quota&status=429": 3, "status=400": 0,
        "code=invalid_value": 0, f"since={since + 1}": 0, f"until={since + 1}": 3, f"since={since}": 3, f"until={since}": 0,
    }.items():  # fmt: skip
        assert len((await office.get(f"/refusals?{query}"))["data"]) == count, query
    assert (await office.refused("GET", "/refusals", user="no@example.com"))[0] == 404
    assert (await office.refused("GET", "/refusals", after="req_x"))[0] == 400


async def test_csv_holds_all_that_match_whatever_their_number(
    office: Office, refused: list[str], unknown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.organization.request_csv.PAGE_ROWS", 2)
    lin = (await office.get("/requests"))["data"][0]
    sent = {"state": "settled", "cost_micros": 80_000, "relay": "=relay", "reserved_at_ms": THEN_MS + 1000}
    await insert_request(office.running.database, lin["user_id"], lin["api_key_id"], id="req_4", **sent)

    paid = await office.call("GET", "/requests.csv", bom="true")
    told = await office.call("GET", "/refusals.csv", user="mia@example.com")

    rows = list(csv.DictReader(io.StringIO(paid.content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["req_4", *unknown[::-1]]
    assert (rows[0]["cost"], rows[0]["currency"], rows[0]["relay"]) == ("0.08", "CNY", "'=relay")
    assert paid.content.startswith(b"\xef\xbb\xbf") and paid.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(told.text)))
    assert [(row["id"], row["user"], row["count"]) for row in rows] == [("req_r2", "mia", "1"), ("req_r0", "mia", "1")]
    assert rows[0]["created_at"].endswith("Z")
    assert (await office.refused("GET", "/refusals.csv", user="nobody"))[0] == 404


async def test_a_refusal_is_found_by_its_request_id_and_an_unknown_id_is_told_why(
    office: Office, refused: list[str], unknown: list[str]
) -> None:
    shown = await office.get(f"/requests/{refused[1]}")
    missing = await office.call("GET", "/requests/req_x")

    assert (shown["object"], shown["user"], shown["message"]) == ("refusal", "bo", "The daily quota is used up.")
    assert (await office.get(f"/requests/{unknown[0]}"))["object"] == "request"
    assert missing.status_code == 404
    for word in ("folded", "dropped", "older than 30 days", "--refused"):
        assert word in missing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("verb", "fields", "state", "cost_micros"),
    [
        ("settle", {"cost_micros": 700_000}, "settled", 700_000),
        ("settle", {}, "settled", 1_000_000),
        ("release", {}, "released", None),
        ("write_off", {}, "settled", 1_000_000),
    ],
)
async def test_a_decision_ends_an_unknown_request_in_the_name_of_the_key(
    office: Office, unknown: list[str], verb: str, fields: dict[str, Any], state: str, cost_micros: int | None
) -> None:
    decided = await office.post(f"/requests/{unknown[0]}/{verb}", reason="the bill says so", **fields)

    assert (decided["state"], decided["cost_micros"]) == (state, cost_micros)
    [kept] = decided["corrections"]
    assert (kept["kind"], kept["reason"], kept["actor"]) == (verb, "the bill says so", "the owner's")
    assert await office.get(f"/requests/{unknown[0]}") == decided
    assert (await office.events())[-1] == (f"request.{verb}", unknown[0])
    again = await office.refused("POST", f"/requests/{unknown[0]}/{verb}", {"reason": "again"})
    assert again == (409, "conflict", "id")
    assert (await office.refused("POST", f"/requests/{unknown[1]}/{verb}", {"reason": " "}))[2] == "reason"


async def test_reconcile_shows_what_it_would_do_and_then_does_it(
    office: Office, unknown: list[str], relay: RunningSandbox
) -> None:
    for model, at_ms in (("imagen4", THEN_MS - 9 * HOUR_MS), ("gpt-image-1", THEN_MS + 5000)):
        relay.sandbox.bill.append(BillLine("r", model, "generation", 1, 500_000, at_ms, 1))

    dry = await office.post("/reconcile", dry_run=True)
    states_before = {each["state"] for each in (await office.get("/requests"))["data"]}
    done = await office.post("/reconcile")

    assert states_before == {"unknown"} and dry["dry_run"] and not done["dry_run"]
    assert ("settle", unknown[3]) in [(step["action"], step["request_id"]) for step in dry["done"]]
    assert dry["done"] == done["done"]
    settled = await office.get(f"/requests/{unknown[3]}")
    assert (settled["state"], settled["flag"], settled["corrections"][0]["actor"]) == (
        "settled",
        "reconciled",
        "reconciliation",
    )
    assert done["relay"]["log_rows"] == 2 and done["days"]


async def test_an_audit_names_what_differs(office: Office, unknown: list[str]) -> None:
    assert (await office.get("/audit"))["clean"]
    await office.post(f"/requests/{unknown[0]}/settle", reason="charged")

    async with office.running.database.transaction() as connection:
        await connection.execute(sa.update(usage).values(cost_micros=1))

    found = await office.get("/audit")
    assert not found["clean"]
    assert ("usage", "cost_micros", 1_000_000, 1) in [
        (each["kind"], each["what"], each["expected"], each["found"]) for each in found["differences"]
    ]


async def test_the_doctor_looks_at_every_part(office: Office, unknown: list[str]) -> None:
    found = (await office.get("/doctor"))["findings"]

    named = {each["check"]: (each["status"], each["message"]) for each in found}
    assert list(named) == list(DOCTOR_CHECKS)
    assert named["limits"] == (
        "warning",
        "No limit of their own: lin. Set one with: `imagegate limits set --user lin --spend 20 --spend-per month`",
    )
    assert [named[part][0] for part in ("database", "secret key", "relay")] == ["ok"] * 3


async def test_prices_of_the_relay_are_compared_and_taken_over(office: Office) -> None:
    offered = await office.post("/prices/sync", models=["dall-e-3"])
    before = (await office.get("/prices", limit=100))["data"]
    taken = await office.post("/prices/sync", apply=True)
    after = await office.post("/prices/sync")

    assert offered["dry_run"] and offered["notes"]
    assert len((await office.get("/prices", limit=100))["data"]) == len(before) + len(taken["set"])
    assert after["set"] == []
    refused = await office.refused("POST", "/prices/sync", {"group": "nobody's"})
    assert refused[:2] == (502, "upstream_misconfigured")


async def test_the_application_of_the_command_line_needs_no_key_and_writes_in_its_name(office: Office) -> None:
    gateway, actor = office.running.gateway, Actor("cli", "cli:mei", "mei")
    where = gateway.database.where

    async with open_administration(gateway.settings, where, gateway.data_dir) as administration:
        transport = httpx2.ASGITransport(app=create_administration_app(administration, actor))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
            made = await http.post("/v1/organization/projects", json={"name": "web"})
            buys = await http.post("/v1/images/generations", json={"model": "seedream-3.0", "prompt": "x"})

    assert made.status_code == 200 and buys.status_code == 404
    log = (await office.get("/audit_logs", limit=1))["data"][0]
    assert (log["event"], log["actor"]["kind"], log["actor"]["name"]) == ("project.created", "cli", "mei")
    assert await office.get(f"/projects/{made.json()['id']}") == made.json()
