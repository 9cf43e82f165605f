"""Page of the relay: the sentence is true for each thing that can be wrong, and the figures are those of the book."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.console.language import LANGUAGES, translate
from app.console.relay_verdict import VERDICTS
from app.console.render import templates
from app.control.relays import RelayChange, change_relay, create_relay, get_relay
from app.sandbox import RunningSandbox
from tests.console.conftest import House, open_house
from tests.databases import insert_refusal, insert_request
from tests.gateways import PEPPER, RELAY_KEY


async def sentence(house: House, who: str = "rita", path: str = "/relays?ask=now") -> str:
    text = (await house.get(path, who)).text
    return text.partition('<p class="verdict">')[2].partition("</p>")[0]


async def request(house: House, number: int, ago_ms: int, **given: Any) -> None:
    """A request that ended some time ago."""
    at_ms = await house.running.database.now_ms() - ago_ms
    facts: dict[str, Any] = {
        "state": "settled",
        "ended_at_ms": at_ms,
        "upstream_ms": 1000 * number,
        "cost_micros": 0,
        "images": 1,
    }
    whose = (house.users["mia"], house.keys["mia"].id)
    await insert_request(house.running.database, *whose, id=f"req_{number}", reserved_at_ms=at_ms, **(facts | given))


async def test_a_relay_that_answers_is_green_and_one_that_refuses_our_key_is_red(
    house: House, relay: RunningSandbox
) -> None:
    assert await sentence(house) == "The relay answers. Nothing was requested in the last hour."
    await house.buy("mia")
    assert await sentence(house) == "The relay answers, and requests go through."

    relay.sandbox.options = replace(relay.sandbox.options, key="sk-another")

    text = (await house.get("/relays?ask=now", "rita")).text
    assert "The relay refuses our key." in text and "IMAGEGATE_UPSTREAM_API_KEY" in text
    assert await sentence(house, path="/relays") == "The relay refuses our key."  # Remembered, not asked again.
    relay.sandbox.options = replace(relay.sandbox.options, key=RELAY_KEY)
    assert await sentence(house) == "The relay answers, and requests go through."


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("upstream_wallet_empty", "The relay&#39;s wallet is empty: it takes no request."),
        ("upstream_misconfigured", "The relay refuses our key."),
        ("upstream_bad_payload", "The relay answers with what is no picture."),
    ],
)
async def test_what_requests_met_counts_until_one_succeeds(house: House, code: str, wanted: str) -> None:
    await request(house, 1, 3000, state="released", http_status=503, error_code=code)
    assert await sentence(house) == wanted

    await request(house, 2, 2000)
    assert await sentence(house) == "The relay answers, and requests go through."


async def test_an_address_without_a_relay_is_told_from_one_without_anybody(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    (tmp_path / "page").mkdir()
    async with open_house(tmp_path / "page", f"{relay.base_url}/console") as house:
        assert await sentence(house) == "What answers at the relay&#39;s address is no relay."
    async with open_house(tmp_path, "http://127.0.0.1:9") as house:
        assert await sentence(house) == "The relay cannot be reached."


async def test_without_a_key_nothing_is_green(tmp_path: Path, relay: RunningSandbox) -> None:
    async with open_house(tmp_path, relay.base_url, upstream_api_key=None) as house:
        assert await sentence(house) == "No key of the relay is set, so nothing can be bought."


async def test_figures_are_those_of_the_hour_and_the_day(house: House) -> None:
    await request(house, 1, 1000)
    await request(house, 2, 2000, state="released", http_status=400, error_code="moderation_blocked")
    await request(house, 3, 2 * 3_600_000, state="unknown", http_status=424, error_code="upstream_outcome_unknown")
    await request(house, 4, 25 * 3_600_000)
    now_ms = await house.running.database.now_ms()
    for number, ago_ms in ((1, 1000), (2, 3_700_000)):
        whose = (house.users["mia"], house.keys["mia"].id)
        await insert_refusal(house.running.database, *whose, id=f"ref_{number}", at_ms=now_ms - ago_ms, count=5)

    text = (await house.get("/relays", "rita")).text

    rows = [
        [cell.partition(">")[2].partition("<")[0] for cell in row.split("<td")[1:]] for row in text.split("<tr>")[1:]
    ]
    figures = {row[0]: row[-2:] for row in rows if len(row) > 2}
    assert figures["Ended"] == ["2", "3"]
    assert figures["Brought images"] == ["100%", "50%"]
    assert figures["Refused for what they asked"] == ["1", "1"]
    assert figures["95 of 100 took at most"] == ["2.0 s", "3.0 s"]
    assert figures["A limit of money, images or requests is used up"] == ["5", "10"]
    assert figures["The answer was lost: it may be charged"] == ["0", "1"]
    assert "1 of unknown outcome" in text


def test_every_verdict_has_a_sentence_in_both_languages() -> None:
    labels = templates().get_template("relay_labels.html")
    for language in LANGUAGES:
        macros: Any = labels.make_module({"_": partial(translate, language)})
        assert len({str(macros.sentence(verdict)) for verdict in VERDICTS}) == len(VERDICTS)


async def test_every_part_of_the_gateway_has_a_name(house: House) -> None:
    checks = (await house.running.gateway.readiness.check()).checks
    macros: Any = templates().get_template("relay_labels.html").make_module({"_": partial(translate, "zh")})
    assert [part for part in checks if str(macros.part(part)) == part] == []


def table(text: str) -> list[str]:
    """Rows of the table of relays."""
    return text.partition('aria-label="Relays"')[2].partition("<tbody>")[2].partition("</tbody>")[0].split("<tr")[1:]


async def test_all_relays_stand_in_a_table_and_one_of_them_is_told_closely(house: House, relay: RunningSandbox) -> None:
    second = RelayChange(relay.base_url, "sk-wrong-key-of-the-second", weight=3, concurrent=40, models=["gpt-image-1"])
    [only] = table((await house.get("/relays", "olga")).text)
    await create_relay(house.running.database, PEPPER, "second", second)
    await house.buy("mia")
    await request(house, 1, 1000, relay="default")
    await request(
        house, 2, 2000, relay="second", state="released", http_status=502, error_code="upstream_misconfigured"
    )

    first, other = table((await house.get("/relays?relay=default&ask=now", "rita")).text)
    text = (await house.get("/relays?relay=second&ask=now", "rita")).text

    assert "gets requests" in only and "href" not in only and "<button" not in only
    assert 'aria-current="true"' in first and 'aria-current="true"' not in other
    for told in ("second</a>", ">3</td>", "0 of 40", ">gpt-image-1</td>", ">1.00</td>"):
        assert told in other
    assert "<button" not in first + other  # A reader's.
    assert "The relay refuses our key." in text and "relays replace-key second --key-stdin" in text
    assert "sk-wrong" not in text
    assert await sentence(house, path="/relays?relay=default") == "The relay answers, and requests go through."


async def test_an_owner_takes_a_relay_out_and_in_again(house: House, relay: RunningSandbox) -> None:
    await create_relay(house.running.database, PEPPER, "second", RelayChange(relay.base_url, RELAY_KEY))

    out = await house.post("/relays/second", "olga", do="disable")
    shown = (await house.get(out.headers["location"].removeprefix("/console"), "olga")).text
    disabled = (await house.running.database.ask(get_relay, "second")).disabled_at_ms
    await house.post("/relays/second", "olga", do="enable")

    assert disabled is not None and ">disabled</span>" in table(shown)[1] and 'value="enable"' in table(shown)[1]
    assert "second gets no requests any more" in shown
    assert (await house.running.database.ask(get_relay, "second")).disabled_at_ms is None


async def test_a_model_is_offered_where_a_relay_that_serves_it_offers_it(house: House, relay: RunningSandbox) -> None:
    database, missing = house.running.database, "offered by no relay"
    await house.get("/relays?ask=now", "rita")
    assert missing not in (await house.get("/models", "rita")).text

    await change_relay(database, None, "default", RelayChange(models=["gpt-image-1"]))
    alone = (await house.get("/models", "rita")).text.count(missing)
    await create_relay(database, PEPPER, "second", RelayChange(relay.base_url, RELAY_KEY, models=["imagen4"]))

    assert alone > 1
    assert (await house.get("/models", "rita")).text.count(missing) == alone - 1
