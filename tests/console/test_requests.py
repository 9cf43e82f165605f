"""Pages of the requests: who sees which, rows that add up to the usage, why somebody was refused, and decisions by hand."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape

import pytest
import sqlalchemy as sa

from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage
from app.store.ledger import corrections
from app.store.ledger.corrections import late
from app.store.tables import requests
from tests.administration import create_key
from tests.console.conftest import NASTY, House
from tests.databases import insert_refusal, insert_request


async def request_id_of(house: House, who: str, **fields: object) -> str:
    return (await house.buy(who, **fields))[0].rpartition("_")[0]  # type: ignore[arg-type]  # fields of the body


async def add_unknown(house: House, id: str = "req_unknown_of_mia") -> str:
    now_ms = house.running.gateway.clock.now_ms()
    sent = {"state": "unknown", "dispatched_at_ms": now_ms, "reserved_at_ms": now_ms, "http_status": 424}
    await insert_request(house.running.database, house.users["mia"], house.keys["mia"].id, id=id, **sent)
    return id


async def test_rows_add_up_to_the_usage_also_after_a_correction(house: House) -> None:
    house.keys["olga"] = await create_key(house.running.database, house.users["olga"])
    for n, quality in ((1, "low"), (2, "high"), (3, "low")):
        await house.buy("olga", n=n, quality=quality)
    key, now_ms, zone = house.keys["olga"].id, house.running.gateway.clock.now_ms(), house.running.gateway.zone
    released = {
        "id": "req_late",
        "state": "released",
        "reserved_at_ms": now_ms,
        "ended_at_ms": now_ms,
        "http_status": 502,
    }
    await insert_request(house.running.database, house.users["olga"], key, **released, size="1024x1024")
    correction = late("req_late", 700_000, 1, now_ms, "on the bill", "reconciliation")
    assert await corrections.post(house.running.database, correction, zone)

    for filters in ("", "&quality=high", "&model=gpt-image-1", "&size=1024x1024"):
        usage = await house.csv(f"/usage.csv?period=today&by=day&key={key}{filters}", "rita")
        rows = await house.csv(f"/requests.csv?period=today&outcome=booked&key={key}{filters}", "rita")
        cost = sum(Decimal(row["cost"] or 0) + Decimal(row["corrected"] or 0) for row in rows)
        assert [(int(row["requests"]), Decimal(row["cost"])) for row in usage] == [(len(rows), cost)], filters
    page = (await house.get(f"/usage?period=today&by=quality&and=day&key={key}", "rita")).text
    links = [
        unescape(link) for link in re.findall(r'<td class="number wide"><a href="/console(/requests\?[^"]*)">', page)
    ]
    counts = [len(await house.csv(link.replace("/requests?", "/requests.csv?"), "rita")) for link in links]
    assert sorted(counts) == [1, 1, 2], links  # High, late without a quality, low.


async def test_a_member_sees_their_own_whatever_the_address_says(house: House) -> None:
    mine, theirs = await request_id_of(house, "mia"), await request_id_of(house, "max")

    for query in ("", f"?user={house.users['mia']}", "?person=mia", f"?key={house.keys['mia'].id}"):
        rows = await house.csv(f"/requests.csv{query}", "max")
        assert {row["user"] for row in rows} <= {"max"} and all("upstream_message" not in row for row in rows)
        assert mine not in (await house.get(f"/requests{query}", "max")).text
    assert theirs in (await house.get("/requests", "max")).text
    assert (await house.get(f"/requests/{mine}", "max")).status_code == 404
    assert 'href="/console/requests"' not in (await house.get("/keys", "max")).text


async def test_a_private_prompt_and_its_pictures_are_its_owners(house: House) -> None:
    id = await request_id_of(house, "mia", prompt="a secret garden")

    own, owners, readers = [(await house.get(f"/requests/{id}", who)).text for who in ("mia", "olga", "rita")]

    assert "a secret garden" in own and "/thumbnail" in own
    for text in (owners, readers, (await house.get("/requests?q=secret", "olga")).text):
        assert "a secret garden" not in text and "/thumbnail" not in text
    assert id in (await house.get("/requests?q=secret+GARDEN", "mia")).text
    assert id not in (await house.get("/requests?q=secret", "olga")).text


async def test_an_edit_shows_the_picture_that_it_began_with_to_whoever_has_it(house: House) -> None:
    [picture_id] = await house.buy("mia", "a lighthouse")
    source = (await house.get(f"/pictures/{picture_id}/content", "mia")).content
    headers = {"Authorization": f"Bearer {house.keys['mia'].key}"}
    body = {"model": "gpt-image-1", "prompt": "at night", "size": "1024x1024", "quality": "low"}
    files = {"image": ("a.png", source, "image/png")}
    answer = await house.http.post("/v1/images/edits", data=body, files=files, headers=headers)
    assert answer.status_code == 200, answer.text
    id = answer.headers["x-request-id"]

    for path, count in (("/requests", 2), (f"/requests/{id}", 1)):  # The list has the picture's own request, too.
        pages = [(await house.get(path, who)).text for who in ("mia", "olga")]
        assert [page.count(f"/pictures/{picture_id}/thumbnail") for page in pages] == [count, 0], path


async def test_one_request_tells_its_arithmetic_and_its_times(house: House) -> None:
    price = PriceEntry("gpt-image-1", PerImage(830_000), "generation", "1024x1024", "high")
    await set_price(house.running.database, house.running.gateway.zone, price)
    id = await request_id_of(house, "mia", n=2, quality="high")

    text = (await house.get(f"/requests/{id}", "rita")).text

    assert "2 × 1024x1024 high × 0.83 = 1.66 CNY" in text and "price of " in text
    for moment in ("Arrived", "Price held", "Sent to the relay", "Answer stored", "Settled"):
        assert moment in text, moment


async def test_why_somebody_was_refused_is_told_in_both_languages(house: House) -> None:
    await house.running.limit("user", house.users["max"], "micros", "month", 0)
    body = {"model": "gpt-image-1", "prompt": "a fox"}
    headers = {"Authorization": f"Bearer {house.keys['max'].key}"}
    answer = await house.http.post("/v1/images/generations", json=body, headers=headers)
    await house.running.gateway.chores.run_once("refusals")
    id = answer.headers["x-request-id"]

    listed = (await house.get("/requests?outcome=refused&person=max", "olga")).text
    found = await house.get(f"/search?q={id}", "olga")
    english = (await house.get(f"/requests/{id}", "olga")).text
    chinese = (await house.get(f"/requests/{id}", "olga", **{"accept-language": "zh"})).text

    assert answer.status_code == 429
    assert f"/requests/{id}" in listed and "monthly spend limit of person max" in listed
    assert found.headers["location"] == f"/console/requests/{id}"
    assert "A limit was used up" in english and answer.json()["error"]["message"].split(";")[0] in english
    assert "人员 max的每月费用限额" in chinese and "限额已用完" in chinese
    assert (await house.get(f"/requests/{id}", "max")).status_code == 200
    assert (await house.get(f"/requests/{id}", "mia")).status_code == 404


async def test_lists_are_paged_and_stay_text(house: House) -> None:
    now_ms = house.running.gateway.clock.now_ms()
    for number in range(51):
        sent = {"id": f"req_{number:02}", "reserved_at_ms": now_ms - number, "state": "settled", "cost_micros": number}
        await insert_request(house.running.database, house.users["max"], house.keys["max"].id, **sent, model=NASTY)
    told = {"at_ms": now_ms - 60, "message": NASTY, "limit": NASTY, "id": "req_r", "model": NASTY, "error_code": NASTY}
    await insert_refusal(house.running.database, house.users["max"], house.keys["max"].id, **told)
    unread = {"id": "req_s", "limit": None, "model": None, "operation": None, "error_code": "model_not_found"}
    await insert_refusal(house.running.database, house.users["max"], house.keys["max"].id, **told | unread)

    first = (await house.get("/requests", "olga")).text
    assert "50 of at least 51" in first and NASTY not in first
    after = first.partition("after=")[2].partition("&")[0].partition('"')[0]
    rest = (await house.get(f"/requests?after={after}", "olga")).text

    assert (
        "req_50" in rest
        and "req_r" in rest
        and "req_s" in rest
        and '/requests/req_49"' not in rest
        and NASTY not in rest
    )
    assert (await house.get("/requests?after=%00", "olga")).status_code == 404
    for after in ("x", "1.", "9" * 30 + ".req", "-1.req"):
        assert (await house.get(f"/requests?after={after}&cost=x&seconds=²&since=x&until=9", "olga")).status_code == 200
    assert NASTY not in (await house.get("/requests/req_r", "olga")).text
    assert "There is no model of that name here." in (await house.get("/requests/req_s", "olga")).text


@pytest.mark.parametrize(
    ("do", "cost", "state", "cost_micros"),
    [("settle", "0.70", "settled", 700_000), ("settle", "", "settled", 1_000_000), ("release", "", "released", None)],
)
async def test_an_owner_decides_about_an_unknown_request(
    house: House, do: str, cost: str, state: str, cost_micros: int | None
) -> None:
    id = await add_unknown(house)

    page = (await house.get("/requests?outcome=unknown", "rita")).text
    without = await house.post(f"/requests/{id}", "olga", do=do, cost=cost, reason=" ")
    wrong = await house.post(f"/requests/{id}", "olga", do="settle", cost="much", reason="on the bill")
    denied = [
        (await house.post(f"/requests/{id}", who, do=do, reason="r")).status_code for who in ("mia", "max", "rita")
    ]
    done = await house.post(f"/requests/{id}", "olga", do=do, cost=cost, reason="on the bill")
    again = await house.post(f"/requests/{id}", "olga", do=do, reason="again")

    assert id in page and "1.00 held" in page
    assert (without.status_code, wrong.status_code, denied) == (400, 400, [403, 404, 403])
    assert done.headers["location"].endswith(f"/requests/{id}?done={do}") and again.status_code == 409
    async with house.running.database.read() as connection:
        row = (await connection.execute(sa.select(requests).where(requests.c.id == id))).mappings().one()
    assert (row["state"], row["cost_micros"]) == (state, cost_micros)
    text = (await house.get(f"/requests/{id}", "mia")).text
    assert "on the bill" in text and "olga" in text and "None" not in text
    assert (await house.get(f"/requests/{id}", "mia", **{"accept-language": "zh"})).status_code == 200


async def test_times_of_one_day_are_searched_by_the_day_of_the_zone(house: House) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=house.running.gateway.zone)
    for number, seconds in enumerate((-1, 0, 86_399, 86_400)):
        at_ms = int((midnight.astimezone(UTC).timestamp() + seconds) * 1000)
        sent = {"id": f"req_day_{number}", "reserved_at_ms": at_ms}
        await insert_request(house.running.database, house.users["mia"], house.keys["mia"].id, **sent)

    rows = await house.csv("/requests.csv?since=2026-11-20&until=2026-11-20", "rita")

    assert [row["id"] for row in rows] == ["req_day_2", "req_day_1"]
