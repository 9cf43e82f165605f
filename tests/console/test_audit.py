"""Page of the audit log: who changed what, before and after, with filters in the address and a page at a time."""

import re

from app.control.prices import PriceEntry, set_price
from app.control.relays import RelayChange, create_relay
from app.core.pricing import PerImage, PerToken
from tests.administration import PEPPER
from tests.console.conftest import NASTY, House


def rows(text: str) -> list[str]:
    return text.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]


async def test_a_change_stands_with_its_author_and_both_values(house: House) -> None:
    await house.post("/models/prices", "olga", model="imagen4", per_image="0.25")
    await house.post("/models/aliases", "olga", name="dall-e-9", model="gpt-image-1")
    await house.running.limit("user", house.users["mia"], "micros", "month", 70_000_000)

    newest = rows((await house.get("/audit", "rita")).text)
    prices = rows((await house.get("/audit?event=price", "rita")).text)
    olgas = rows((await house.get("/audit?actor=olga@example.com", "rita")).text)
    mias = rows((await house.get(f"/audit?target={house.users['mia']}&event=limit", "rita")).text)

    chosen = (await house.get("/audit", "rita", **{"Accept-Language": "zh"})).text
    assert chosen.count(">图片</option>") == 1 and ">计量</span>" in chosen and "money" not in chosen.lower()
    assert "Limit: set" in mias[1] and "Limit: changed" in mias[0] and "<ins>Money</ins>" in mias[1]
    people = (await house.get("/audit?event=user", "rita")).text
    assert "Role in the console" in people and "<ins>Owner</ins>" in people and "<ins>no</ins>" in people
    assert "50.00 CNY" in newest[0] and "70.00 CNY" in newest[0]
    assert len(prices) == 1 and "0.25 CNY" in prices[0] and ">olga</a>" in prices[0]
    assert ["Alias" in row for row in olgas] == [True, False]
    assert len(mias) == 2
    assert rows((await house.get("/audit?event=nothing", "rita")).text) == []
    assert rows((await house.get("/audit?until=2001-01-01", "rita")).text) == []


async def test_a_long_log_comes_in_pages(house: House) -> None:
    for number in range(51):
        await house.post("/models/aliases", "olga", name=f"alias-{number:02}", model="gpt-image-1")

    first = (await house.get("/audit?event=model_alias", "rita")).text
    following = re.search(r'href="/console(/audit\?after=[^"]+)"', first)

    assert len(rows(first)) == 50 and following is not None
    second = rows((await house.get(following[1].replace("&amp;", "&"), "rita")).text)
    assert len(second) == 1 and "alias-00" in second[0]
    assert (await house.get("/audit?after=audit_log-nothing", "rita")).status_code == 200


async def test_what_was_named_stays_text(house: House) -> None:
    text = (await house.get("/audit?event=api_key", "rita")).text
    assert (
        "<ins>seedream-3.0</ins>" in text
        and "<ins>posters</ins>" in text
        and "proj_" not in text.partition("<tbody>")[2]
    )
    assert NASTY not in text and "&lt;script&gt;" in text


async def test_every_field_of_a_change_has_a_name_in_words(house: House) -> None:
    database = house.running.database
    tokens = PerToken(40_000_000, 80_000_000, 300_000_000, 2_000_000)
    for amount in (tokens, PerImage(250_000)):
        await set_price(database, house.running.gateway.zone, PriceEntry("imagen4", amount))
    relay = RelayChange("https://relay.example.com", "sk-of-the-second-relay", "N", 2, 3, ["imagen4"], "0.8", 7_000_000)
    await create_relay(database, PEPPER, "second", relay)
    await house.post("/models/aliases", "olga", name="dall-e-9", model="gpt-image-1")
    await house.post(f"/alerts/{house.alert}/test", "olga")

    for language in ("en", "zh"):
        text = (await house.get("/audit", "rita", **{"Accept-Language": language})).text
        names = set(re.findall(r'<span class="quiet">([^<]+)</span> <', text))
        assert len(names) > 20
        assert [name for name in names if re.fullmatch(r"[a-z]+_[a-z_]+|micros|mode|delivered|percent", name)] == []
