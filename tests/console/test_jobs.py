"""Jobs in the console: while they run, their page with pictures and programs, and choices that the book does not keep."""

import ast
import html
import json
import re
import shlex
from urllib.parse import parse_qs, urlsplit

import httpx2

from app.sandbox import RunningSandbox
from tests.console.conftest import NASTY, House
from tests.console.test_create import FOX, buy, edit, ended, png
from tests.held import HELD, answering

QUOTED = 'a fox\'s "den",\nin $HOME & `snow` \\ 雪'


async def made(house: House, **changed: str) -> str:
    """Buy a picture and have it kept; returns the address below /console that the purchase leads to."""
    answer = await buy(house, **{"n": "1", "model": "gpt-image-1"} | changed)
    assert answer.status_code == 303, answer.text
    await ended(house)
    await house.running.gateway.taking.take_all()
    return answer.headers["location"].removeprefix("/console").removesuffix("#jobs")


def job_of(address: str) -> str:
    return parse_qs(urlsplit(address).query)["job"][0]


async def job_page(house: House, address: str, who: str = "mia", **more: str) -> httpx2.Response:
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()} | more
    id = query.pop("job")
    return await house.get(f"/create/jobs/{id}?{httpx2.QueryParams(query)}", who)


def programs(page: httpx2.Response) -> dict[str, str]:
    found = re.findall(r'<pre id="(\w+)" tabindex="0">(.*?)</pre>', page.text, re.DOTALL)
    return {name: html.unescape(text) for name, text in found}


async def test_who_stops_waiting_sees_the_job_no_longer_but_is_charged(house: House, relay: RunningSandbox) -> None:
    for number in range(3):  # So that the usual time of the model is known.
        await made(house, token=f"before-{number}", prompt=f"a bear {number}")
    answer = await buy(house, prompt=f"a fox {HELD}", model="gpt-image-1")
    address = answer.headers["location"].removeprefix("/console").removesuffix("#jobs")
    id = job_of(address)

    running = (await house.get(address, "mia")).text
    left = (await house.get(f"{address}&without={id}", "mia")).text

    assert "Being made: 2.00 CNY held</a>" in running and "done=bought" in running
    assert "Being made" in running and "<progress" in running and "usually" in running
    assert "It is made and charged all the same" in running and f"without={id}" in running
    assert "Being made" not in left and "a fox [[" in left  # The form keeps what was asked.
    assert "Being made" not in (await house.get(f"/create/jobs?job={id}&without={id}", "mia")).text
    with answering(relay):
        states = {row["id"]: row["state"] for row in await ended(house)}
    assert states[id] == "settled"
    assert f"/create/jobs/{id}" in (await house.get(f"{address}&without={id}", "mia")).text  # Its pictures are shown.


async def test_the_page_of_a_job_is_its_buyers_and_compares_pictures(house: House) -> None:
    first, second = await made(house, prompt=NASTY), await made(house, token="second", prompt="a bear")
    other = f"{job_of(second)}_0"

    page = await job_page(house, first, **{"with": other})

    assert f"/console/pictures/{job_of(first)}_0/content" in page.text and f"{other}/content?download=1" in page.text
    assert NASTY not in page.text and "&lt;script&gt;" in page.text
    assert f"/console/create/edit?picture={other}" in page.text
    assert (await job_page(house, first, "max")).status_code == 404
    assert (await job_page(house, first, "rita")).status_code == 404
    [foreign] = await house.buy("max")
    assert f"{foreign}/content" not in (await job_page(house, first, **{"with": foreign})).text


async def test_the_programs_send_the_same_request(house: House, relay: RunningSandbox) -> None:
    address = await made(house, prompt=QUOTED, size="1536x1024", quality="low", background="opaque")
    sent = relay.sandbox.seen[-1].fields

    code = programs(await job_page(house, address))

    command = shlex.split(code["curl"])
    body = json.loads(command[command.index("-d") + 1])
    assert command[:3] == ["curl", "-sS", f"{house.running.url}/v1/images/generations"]
    assert "Authorization: Bearer YOUR_KEY" in command
    assert {name: sent[name] for name in body} == body | {"n": "1"} and body["background"] == "opaque"
    answer = await house.http.post(
        "/v1/images/generations", json=body, headers={"Authorization": f"Bearer {house.keys['mia'].key}"}
    )
    assert answer.status_code == 200 and f"{job_of(address)}_0" in answer.headers["x-imagegate-duplicate-of"]
    call = ast.parse(code["python"]).body[-1]
    assert isinstance(call, ast.Assign) and isinstance(call.value, ast.Call)
    assert {each.arg: ast.literal_eval(each.value) for each in call.value.keywords} == body


async def test_the_program_of_an_edit_reads_its_picture_from_a_file(house: House) -> None:
    answer = await edit(house, files={"image": png()}, prompt=QUOTED)
    await ended(house)

    code = programs(await job_page(house, answer.headers["location"].removeprefix("/console").removesuffix("#jobs")))

    command = shlex.split(code["curl"])
    assert command[2].endswith("/v1/images/edits") and "image=@picture.png" in command and f"prompt={QUOTED}" in command
    assert 'image=open("picture.png", "rb")' in code["python"]


async def test_a_seed_goes_to_models_that_know_one(house: House, relay: RunningSandbox) -> None:
    for seed in ("-1", "x", "1.5", "2147483648", "²"):
        told = await house.post("/create/price", "mia", **FOX | {"seed": seed})
        assert "The seed is a whole number" in told.text and (await buy(house, seed=seed)).status_code == 400, seed
    assert await house.running.rows() == []

    address = await made(house, model="seedream-3.0", seed="7")

    assert relay.sandbox.seen[-1].fields["seed"] in (7, "7")
    assert 'name="seed" value="7"' in (await house.get(address, "mia")).text
    assert "extra_body={&#34;seed&#34;: 7}" in (await job_page(house, address)).text
    await made(house, model="gpt-image-1", seed="7", token="second")
    assert "seed" not in relay.sandbox.seen[-1].fields
    assert 'name="seed"' not in (await house.post("/create/price", "mia", **FOX | {"model": "gpt-image-1"})).text


async def test_the_search_of_the_frame_finds_requests_keys_and_pictures(house: House) -> None:
    id = job_of(await made(house))
    key = house.keys["mia"]
    wanted = {
        id: f"/requests/{id}",
        f"{id}_0": f"/pictures/{id}_0",
        key.key: f"/keys?q={key.id}",
        key.key[:12]: f"/keys?q={key.id[:10]}",
        f"sk-ig-...{key.key.split('-')[3][-4:]}": f"/keys?q={key.key.split('-')[3][-4:]}",
        "laptop": "/keys?q=laptop",
        "lighthouse": "/pictures?q=lighthouse",
    }

    for text, path in wanted.items():
        answer = await house.get(f"/search?{httpx2.QueryParams({'q': text})}", "mia")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/console{path}"), text
    assert key.id in (await house.get(f"/keys?q={key.id[:10]}", "mia")).text
    people = {
        "mia": f"/people/{house.users['mia']}",
        "example.com": "/people?q=example.com&status=all",
        "laptop": "/keys?q=laptop",
        "lighthouse": "/requests?q=lighthouse",
    }
    for text, path in people.items():
        answer = await house.get(f"/search?q={text}", "olga")
        assert (answer.headers["location"], (await house.get(path, "olga")).status_code) == (f"/console{path}", 200)
