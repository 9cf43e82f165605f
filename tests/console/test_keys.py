"""Page of the keys: made and rotated keys work, their secret is shown once, and members stay inside what is theirs."""

import asyncio
import re
from pathlib import Path

from app.sandbox import RunningSandbox
from tests.console.conftest import House, open_house


async def buys(house: House, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return (await house.http.get("/v1/models", headers=headers)).status_code


def secret_in(text: str) -> str:
    found = re.search(r"sk-ig-\w+-\w+-\w+", text)
    assert found is not None, text[-1500:]
    return found[0]


async def test_a_new_key_works_and_its_secret_is_shown_once(house: House) -> None:
    fields = {"name": "desk", "project": "proj_default", "lifetime": "30d", "spend": "12.50", "models": "seedream-3.0"}

    answer = await house.post("/keys", "mia", **fields)

    secret = secret_in(answer.text)
    assert "content-encoding" not in answer.headers
    assert f"OPENAI_BASE_URL={house.running.url}/v1" in answer.text
    assert await buys(house, secret) == 200
    listed = (await house.get("/keys?q=desk", "mia")).text
    assert "desk" in listed and secret not in listed and "laptop" not in listed
    key_id = re.search(r"/console/keys/(key_\w+)", listed)
    assert key_id is not None
    shown = (await house.get(f"/keys/{key_id[1]}", "mia")).text
    assert secret not in shown and "12.50 CNY" in shown and "seedream-3.0" in shown


async def test_a_leaked_key_stops_at_once_and_one_with_grace_goes_on(house: House) -> None:
    key = house.keys["mia"]
    missing = await house.post(f"/keys/{key.id}/rotate", "mia")
    assert missing.status_code == 400

    second = secret_in((await house.post(f"/keys/{key.id}/rotate", "mia", grace="day")).text)
    assert [await buys(house, secret) for secret in (key.key, second)] == [200, 200]
    third = secret_in((await house.post(f"/keys/{key.id}/rotate", "olga", grace="leaked")).text)

    async with asyncio.timeout(30):  # Control data is cached for half a second.
        while await buys(house, third) != 200:
            await asyncio.sleep(0.05)
    assert await buys(house, key.key) == 401
    assert (await house.post(f"/keys/{key.id}/revoke", "mia")).status_code == 303
    assert "revoked" in (await house.get(f"/keys/{key.id}?done=revoked", "mia")).text


async def test_a_member_makes_keys_for_themselves_in_their_projects_only(house: House) -> None:
    made = await house.post("/keys", "max", name="mine", project="proj_default", user="olga")
    assert secret_in(made.text)
    everybodys = (await house.get("/keys?q=mine", "olga")).text
    assert ">max</a>" in everybodys and ">olga</a>" not in everybodys
    posters = re.search(r'value="(proj_\w+)"[^>]*>posters', (await house.get("/keys/new", "olga")).text)
    assert posters is not None
    for project in (posters[1], "proj_nothing", "posters"):
        refused = await house.post("/keys", "max", name="theirs", project=project)
        assert refused.status_code == 400 or refused.status_code == 404
        assert "sk-ig-" not in refused.text
    assert "theirs" not in (await house.get("/keys?status=all", "olga")).text


async def test_a_form_that_cannot_be_keeps_what_was_written(house: House) -> None:
    for fields in (
        {"spend": "12.345"},
        {"spend": "-1"},
        {"lifetime": "999y"},
        {"user": "nobody"},
        {"models": "nothing"},
    ):
        answer = await house.post("/keys", "olga", name="kept", project="proj_default", **fields)
        assert answer.status_code == 400 and 'value="kept"' in answer.text, fields


async def test_where_members_may_make_no_keys_they_only_look(tmp_path: Path, relay: RunningSandbox) -> None:
    async with open_house(tmp_path, relay.base_url, member_keys=False) as house:
        page = await house.get("/keys", "mia")
        assert "laptop" in page.text and "/keys/new" not in page.text
        assert (await house.post("/keys", "mia", project="proj_default")).status_code == 403
        assert (await house.post(f"/keys/{house.keys['mia'].id}/revoke", "mia")).status_code == 403
        assert (await house.post("/keys", "olga", project="proj_default")).status_code == 200


async def test_a_long_list_comes_in_pages(house: House) -> None:
    for number in range(51):
        await house.post("/keys", "olga", name=f"key {number:02}", project="proj_default")

    first = (await house.get("/keys", "olga")).text
    following = re.search(r'href="/console(/keys\?after=[^"]+)"', first)

    assert "50 of at least 51" in first and following is not None
    second = (await house.get(following[1].replace("&amp;", "&"), "olga")).text
    assert "laptop" in second and "key 50" not in second
