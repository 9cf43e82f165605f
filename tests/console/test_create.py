"""Purchases in the console: bought once, with the person's own key there, inside the same limits as by the API."""

import asyncio
import html
import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from PIL import Image

from app.control.console_keys import console_key, grant_in_project
from app.control.keys import get_key, rotate_key
from app.control.project_keys import delete_project_key, move_project_key
from app.errors import Conflict, NotFound
from tests.administration import PEPPER
from tests.console.conftest import NASTY, House

CHOSEN = re.compile(r'name="picture" value="([^"]+)"[^>]* checked>')
DEFAULT = "proj_default"
FOX = {"project": DEFAULT, "model": "seedream-3.0", "prompt": "a fox in the snow", "n": "2", "token": "first"}


async def buy(house: House, who: str = "mia", **changed: str) -> httpx2.Response:
    return await house.post("/create", who, **FOX | changed)


def job_of(answer: httpx2.Response) -> str:
    """Id of the job that a purchase leads to."""
    return parse_qs(urlsplit(answer.headers["location"]).query)["job"][0]


async def ended(house: House) -> list[dict[str, Any]]:
    """The book, once every request in it has ended."""
    await house.running.gateway.image_service.wait_until_idle()
    return await house.running.rows()


async def test_a_console_key_is_made_once_and_authenticates_nobody(house: House) -> None:
    database, mia = house.running.database, house.users["mia"]
    assert (await grant_in_project(database, mia, DEFAULT)).key_id == ""

    ids = await asyncio.gather(*(console_key(database, mia, DEFAULT) for _ in range(5)))

    assert len({*ids}) == 1
    key = await database.ask(get_key, ids[0])
    assert (key.name, key.last_four, key.has_secret) == ("Console", "", False)
    short = ids[0].removeprefix("key_")
    for secret in (ids[0], f"sk-ig-{short}-", f"sk-ig-{short}--"):
        answer = await house.http.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 401
    for change in (
        rotate_key(database, PEPPER, key.id, 0),
        move_project_key(database, DEFAULT, key.id, None, house.users["max"]),
        delete_project_key(database, DEFAULT, key.id),
    ):
        with pytest.raises(Conflict, match="stands for what 'mia' buys in the console"):
            await change


async def test_nobody_has_a_console_key_in_a_project_that_is_not_theirs(house: House) -> None:
    database = house.running.database
    posters = (await database.ask(get_key, house.keys["posters"].id)).project_id
    for who, project in (("max", posters), ("mia", "proj_nothing")):
        with pytest.raises(NotFound, match="nothing was bought"):
            await console_key(database, house.users[who], project)


async def test_a_form_that_is_sent_twice_buys_once(house: House) -> None:
    answers = await asyncio.gather(*(buy(house) for _ in range(3)), buy(house))

    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    (row,) = await ended(house)
    assert (row["state"], row["via"], row["n"], row["user_id"]) == ("settled", "console", 2, house.users["mia"])
    again = await buy(house)
    assert again.headers["location"] == answers[0].headers["location"]
    assert len(await ended(house)) == 1


async def test_another_wish_with_an_old_form_buys_nothing_and_keeps_the_prompt(house: House) -> None:
    await buy(house)

    answer = await buy(house, prompt="a bear")

    assert answer.status_code == 422 and "a bear</textarea>" in answer.text and "nothing was charged" in answer.text
    assert len(await ended(house)) == 1
    token = re.search(r'name="token" value="([^"]+)"', answer.text)
    assert token is not None and (await buy(house, prompt="a bear", token=token[1])).status_code == 303
    assert len(await ended(house)) == 2


async def test_a_purchase_is_held_to_the_limits_and_told_before(house: House) -> None:
    await house.running.limit("user", house.users["mia"], "images", "day", 3)

    told = await house.post("/create/price", "mia", **FOX | {"n": "4"})
    refused = await buy(house, n="4")

    assert "would be refused by the limit of the person per day" in told.text
    assert refused.status_code == 429 and "a fox in the snow</textarea>" in refused.text
    assert await house.running.rows() == []
    assert (await buy(house, n="3")).status_code == 303
    await ended(house)
    assert (await buy(house, n="1", token="second")).status_code == 429
    assert len(await house.running.rows()) == 1


async def test_a_member_buys_in_no_project_and_no_model_that_is_not_theirs(house: House) -> None:
    assert 'value="gpt-image-1" checked' in (await house.get("/create", "max")).text
    posters = (await house.running.database.ask(get_key, house.keys["posters"].id)).project_id
    for changed in (
        {"project": posters},
        {"project": "proj_nothing"},
        {"project": ""},
        {"model": "nothing"},
        {"n": "x"},
    ):
        assert (await buy(house, "max", **changed)).status_code in (400, 404), changed
    assert (await buy(house, "max", token="")).status_code == 400
    assert (await buy(house, "rita")).status_code == 404
    assert (await house.post("/create", "mia", origin="http://evil.example", **FOX)).status_code == 403
    assert await house.running.rows() == []


async def test_the_price_on_the_page_is_the_one_that_is_booked(house: House) -> None:
    kept = FOX | {"model": "gpt-image-1"}  # The relay sends links of the other one, which nothing here may follow.
    headers = {"Cookie": f"imagegate={house.tokens['mia']}", "Origin": house.running.url, "Accept-Language": "zh"}
    chinese = (await house.http.post("/console/create/price", data=kept, headers=headers)).text
    assert re.search(r"最多 <b>¥[\d.]+</b>", chinese)
    told = (await house.post("/create/price", "mia", **kept)).text
    answer = await buy(house, **kept)
    (row,) = await ended(house)

    price = f"{row['cost_micros'] / 1_000_000:.2f} CNY"
    assert f"<b>{price}</b> at most" in told
    page = (await house.get(answer.headers["location"].removeprefix("/console"), "mia")).text
    assert f"<b>{price}</b>" in page and "You made this just now." in page and f"Made: {price}</a>" in page
    assert answer.headers["location"].endswith("#jobs")
    assert "Made: " not in (await house.get(f"/create?job={row['id']}", "mia")).text  # Nothing was bought there.
    spent = [each["spent"] for each in await house.running.counters() if each["spent"]]
    assert row["cost_micros"] in spent
    usage = (await house.get("/usage.csv?by=key&period=today", "mia")).text
    assert f"Console,1,2,{price.removesuffix(' CNY')},CNY" in usage, usage
    again = (await house.post("/create/price", "mia", **kept)).text
    assert "You made this just now." in again and f"/console/pictures/{row['id']}_0" in again


async def test_a_job_is_its_row_for_its_buyer_only_and_words_stay_text(house: House) -> None:
    answer = await buy(house, prompt=NASTY, model="gpt-image-1")
    (row,) = await ended(house)
    await house.running.gateway.taking.take_all()
    job = answer.headers["location"].removeprefix("/console")

    own, others = (await house.get(job, "mia")).text, (await house.get(job, "max")).text

    assert NASTY not in own and "&lt;script&gt;" in own and row["id"] in own
    assert "&lt;script&gt;" not in others
    assert 'value="gpt-image-1" checked' in own
    assert f'src="/console/pictures/{row["id"]}_0/thumbnail"' in own


def png(size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", size, (200, 80, 20, 255)).save(file, "PNG")
    return file.getvalue()


async def edit(
    house: House, who: str = "mia", files: dict[str, bytes] | None = None, **changed: str
) -> httpx2.Response:
    given = FOX | {"model": "gpt-image-1", "n": "1"} | changed
    parts = {name: (f"{name}.png", content, "image/png") for name, content in (files or {}).items()}
    headers = {"Cookie": f"imagegate={house.tokens[who]}", "Origin": house.running.url}
    sent = parts or {"image": ("", b"", "application/octet-stream")}
    return await house.http.post("/console/create/edit", data=given, files=sent, headers=headers)


async def test_an_edit_of_an_upload_with_a_mask_is_bought_once(house: House) -> None:
    files = {"image": png(), "mask": png()}

    answers = [await edit(house, files=files) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    (row,) = await ended(house)
    assert (row["state"], row["operation"], row["via"]) == ("settled", "edit", "console")
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert answers[0].headers["location"].endswith(f"&job={row['id']}#jobs")


async def test_an_own_picture_is_edited_and_nobody_elses(house: House) -> None:
    await buy(house, model="gpt-image-1", n="1")
    (row,) = await ended(house)
    await house.running.gateway.taking.take_all()
    picture = f"{row['id']}_0"

    refused = await edit(house, "max", token="max", picture=picture)
    assert refused.status_code == 404 and "a fox in the snow</textarea>" in refused.text
    assert len(await ended(house)) == 1
    answer = await edit(house, token="second", picture=picture)
    assert answer.status_code == 303 and [each["state"] for each in await ended(house)] == ["settled", "settled"]
    address = answer.headers["location"].removeprefix("/console")
    await house.running.gateway.taking.take_all()
    page = (await house.get(address, "mia")).text
    assert CHOSEN.findall(page) == [picture]  # It stays chosen.
    again = re.search(r'href="/console(/create/edit[^"]*)">Edit again<', page)
    assert again is not None
    page = (await house.get(html.unescape(again[1]), "mia")).text
    assert CHOSEN.findall(page) == [f"{job_of(answer)}_0"] and "a fox in the snow</textarea>" in page
    await house.post(f"/pictures/{job_of(answer)}_0", "mia", do="delete")
    assert "Use the prompt again" in (await house.get(address, "mia")).text  # There is no picture of it to edit.


async def test_what_is_no_picture_is_refused_before_anything_is_bought(house: House) -> None:
    mpo = b"\xff\xd8\xff\xe2\x00\x08MPF\0\0\0" + b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\0\xff\xda"
    for files in ({"image": b"GIF89a"}, {"image": mpo}, {"mask": png()}, {}):
        answer = await edit(house, files=files)
        assert ("Choose a picture to edit" in answer.text) == ("image" not in files)
        assert answer.status_code == 400 and "a fox in the snow</textarea>" in answer.text, files
    assert await house.running.rows() == []


async def test_what_was_refused_and_what_nobody_knows_is_said(house: House) -> None:
    refused = await buy(house, prompt="a fox [[sandbox status=400 code=content_policy_violation]]")
    unknown = await buy(house, prompt="a bear [[sandbox reset=before_headers]]", token="second")
    states = {row["id"]: row["state"] for row in await ended(house)}

    for answer, state, said in (
        (refused, "released", "Refused; nothing was charged."),
        (unknown, "unknown", "Nobody knows yet whether this was charged."),
    ):
        page = await house.get(answer.headers["location"].removeprefix("/console"), "mia")
        assert states[job_of(answer)] == state and page.text.count(said) == 2  # Beside the button, and in the job.
    text = (await house.get("/create", "mia")).text
    assert "0.16 CNY stays held" in text and "data-follow" not in text


async def test_a_refusal_by_a_limit_is_told_in_chinese(house: House) -> None:
    await house.running.limit("user", house.users["mia"], "images", "day", 1)
    headers = {"Cookie": f"imagegate={house.tokens['mia']}", "Origin": house.running.url, "Accept-Language": "zh"}

    answer = await house.http.post("/console/create", data=FOX, headers=headers)

    assert (
        answer.status_code == 429
        and "已拒绝；没有扣费。" in answer.text
        and "上限（个人，每天）剩余 1 张，共 1 张" in answer.text
    )
