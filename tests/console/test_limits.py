"""Page of limits: a matrix, changes in place, and members who ask for more."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from app.control.limits import ScopeRef, show_limits
from app.sandbox import RunningSandbox
from tests.console.conftest import NASTY, House, open_house
from tests.databases import insert_counter, open_increases
from tests.receivers import mail_server


async def amount_of(house: House, who: str = "mia") -> int:
    [state] = await show_limits(house.running.database, house.running.gateway.zone, ScopeRef("user", who))
    return state.limit.amount


def asked_id(text: str) -> str:
    found = re.search(r"/limits/asks/(incr_\w+)", text)
    assert found is not None
    return found[1]


async def limit_id(house: House) -> str:
    found = re.search(r"ask=(limit_\d+)", (await house.get("/limits", "mia")).text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("duration", "words"), [("interval", "approved</span> 15.00 CNY until"), ("for_good", "for good")]
)
async def test_a_member_asks_an_owner_approves_and_the_member_sees_it(house: House, duration: str, words: str) -> None:
    asked = await house.post("/limits/asks", "mia", limit=await limit_id(house), amount="20", reason=NASTY)
    again = await house.post("/limits/asks", "mia", limit=await limit_id(house), amount="20", reason="more")
    assert (asked.headers["location"], again.status_code) == ("/console/limits?done=asked", 409)
    waiting = (await house.get("/limits", "mia")).text
    assert "waits for an owner" in waiting and '<a href="/console/limits" aria-current="page">' in waiting
    page = (await house.get("/limits", "olga")).text
    assert "mia asks for 20.00 CNY more" in page and NASTY not in page and "&lt;script&gt;" in page
    assert "/limits/asks/" not in (await house.get("/limits", "rita")).text
    assert "Requests for more <b>1</b>" in (await house.get("/overview", "olga")).text

    fields = {"do": "approve", "amount": "15", "duration": duration, "answer": "use it well"}
    unsaid = await house.post(f"/limits/asks/{asked_id(page)}", "olga", **fields | {"duration": ""})
    decided = await house.post(f"/limits/asks/{asked_id(page)}", "olga", **fields)
    late = await house.post(f"/limits/asks/{asked_id(page)}", "olga", **fields | {"do": "decline"})

    assert (unsaid.status_code, decided.status_code, late.status_code) == (400, 303, 409)
    audit = (await house.get("/audit?event=limit_increase", "rita")).text
    assert "More of a limit: approved" in audit and "<ins>15.00 CNY</ins>" in audit
    assert "monthly spend limit of user mia" in audit and "<ins>mia</ins>" in audit and "limit_id" not in audit
    own = (await house.get("/limits", "mia")).text
    assert words in own and "use it well" in own and "65.00 CNY" in own
    assert (await amount_of(house), await open_increases(house.running.database)) == (65_000_000, 0)


async def test_owners_get_a_mail_about_a_request(tmp_path: Path, relay: RunningSandbox) -> None:
    async with mail_server() as server:
        mail = {"smtp_port": server.port, "smtp_security": "none"}
        async with open_house(tmp_path, relay.base_url, **mail) as house:
            await house.post("/limits/asks", "mia", limit=await limit_id(house), amount="20", reason="posters")
            await house.running.gateway.background.finish(20)

    assert sorted(server.recipients) == ["eva@example.com", "olga@example.com"]
    assert f"{house.running.url}/console/limits" in server.mails[0].get_content()


async def test_nobody_asks_for_a_limit_of_somebody_else(house: House) -> None:
    id = await limit_id(house)

    answer = await house.post("/limits/asks", "max", limit=id, amount="20")

    assert answer.status_code == 400
    assert await open_increases(house.running.database) == 0


async def test_limits_are_set_in_place_and_their_state_is_told(house: House) -> None:
    database = house.running.database
    default = {"scope": "everyone", "unit": "images", "interval": "lifetime", "amount": "5"}
    wrong = await house.post("/limits", "olga", **default | {"amount": "5.5"})
    made = await house.post("/limits", "olga", **default)
    assert (wrong.status_code, made.status_code) == (400, 303)
    assert "Everyone, by default" in (await house.get("/limits", "rita")).text
    assert "counts from now on" in (await house.get("/limits?new=1", "olga")).text
    assert "counts from when it was set" in (await house.get(f"/people/{house.users['mia']}", "olga")).text
    people = (await house.get("/limits?scope=user", "olga")).text
    assert people.count("by default") == 5 and ">mia</a>" in people

    found = await show_limits(database, house.running.gateway.zone, ScopeRef("user", "max"))
    await insert_counter(database, found[0].limit.id, 0, spent=7, held=1)
    over = (await house.get("/limits?scope=user&q=max", "olga")).text
    assert "over by 3 images: more is spent than it allows now" in over and ">mia</a>" not in over
    edit = (await house.get(f"/limits?scope=user&edit=limit_{found[0].limit.id}", "olga")).text
    assert '<form class="inline" method="post" action="/console/limits">' in edit and "comes from a default" in edit
    assert 'action="/console/limits"' not in (await house.get(f"/limits?edit=limit_{found[0].limit.id}", "rita")).text
    own = {"scope": "user", "scope_id": house.users["max"], "unit": "images", "interval": "lifetime"}
    await house.post("/limits", "olga", **own, amount="30")
    assert await amount_of(house, "max") == 30
    await house.post("/limits", "olga", **own, do="remove")
    assert await amount_of(house, "max") == 5


async def test_a_limit_is_raised_until_a_day_and_leads_back(house: House) -> None:
    own = {"scope": "user", "scope_id": house.users["mia"], "unit": "micros", "interval": "month", "amount": "80"}
    person = f"/people/{house.users['mia']}"
    past = await house.post("/limits", "olga", **own, until="2020-01-01")
    day = (date.today() + timedelta(days=3)).isoformat()

    done = await house.post("/limits", "olga", **own, until=day, next=person)

    assert (past.status_code, done.headers["location"]) == (400, f"/console{person}?done=limit")
    assert "raised until" in (await house.get(person, "olga")).text
    assert await amount_of(house) == 80_000_000
    elsewhere = await house.post("/limits", "olga", **own, next="//evil.example")
    assert elsewhere.headers["location"] == "/console/limits?done=limit"


async def test_a_refusal_by_a_limit_leads_to_asking_for_more(house: House) -> None:
    await house.running.limit("user", house.users["mia"], "micros", "month", 0)
    fields = {"project": "proj_default", "model": "seedream-3.0", "prompt": "a fox", "token": "once"}

    refused = (await house.post("/create", "mia", **fields)).text

    found = re.findall(r'href="/console(/limits\?ask=limit_\d+)">Ask for more', refused)
    assert len(found) >= 1
    assert "Ask the owners" in (await house.get(found[0], "mia")).text
