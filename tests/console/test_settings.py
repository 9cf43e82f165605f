"""Pages of the installation: settings without secrets, the doctor, and the first steps of a new owner."""

from pathlib import Path

import httpx2

from app.control.invitations import accept_invitation, invite
from app.sandbox import RunningSandbox
from tests.console.conftest import PASSWORD, House, open_house
from tests.gateways import RELAY_KEY, Running, running_gateway


async def test_settings_are_shown_and_secrets_never(tmp_path: Path, relay: RunningSandbox) -> None:
    hidden = {"secret_key": "x" * 40, "smtp_password": "hush", "smtp_user": "robot", "redis_url": None}
    async with open_house(tmp_path, relay.base_url, prompts="hash", **hidden) as house:
        for path in ("/settings", "/settings?examine=now"):
            text = (await house.get(path, "rita")).text
            assert "IMAGEGATE_UPSTREAM_API_KEY" in text and "set, not shown" in text
            assert "IMAGEGATE_PROMPTS" in text and "<code>hash</code>" in text
            for secret in (RELAY_KEY, "x" * 40, "hush", "robot", house.keys["mia"].key):
                assert secret not in text


async def test_the_doctor_is_asked_by_a_button_and_says_what_fails(tmp_path: Path) -> None:
    async with open_house(tmp_path, "http://127.0.0.1:9") as house:
        assert "secret key" not in (await house.get("/settings", "rita")).text
        text = (await house.get("/settings?examine=now", "rita")).text
        chinese = (await house.get("/settings?examine=now", "rita", **{"Accept-Language": "zh"})).text

    assert "主密钥" in chinese and "所有 API 密钥都依赖它" in chinese and "secret key" not in chinese
    assert "secret key" in text and "The relay cannot be reached" in text and "parts fail" in text


async def test_the_owner_of_a_new_installation_lands_on_the_first_steps_until_they_leave(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    async with running_gateway(tmp_path, relay.base_url) as running:
        house = await _empty_house(running)
        assert (await house.get("", "olga")).headers["location"] == "/console/welcome"
        assert (await house.get("", "mia")).headers["location"] == "/console/create"
        headers = {"Authorization": f"Bearer {(await running.key()).key}"}
        body = {"model": "gpt-image-1", "prompt": "a lighthouse [[sandbox error=rate_limited]]"}
        failed = await house.http.post("/v1/images/generations", json=body, headers=headers)
        assert failed.status_code >= 400
        assert (await house.get("", "olga")).headers["location"] == "/console/welcome"
        tested = (await house.get("/welcome?test=now", "olga")).text
        assert "The relay answers and offers 5 models" in tested and "IMAGES_OPENAI_API_BASE_URL" in tested
        assert RELAY_KEY not in tested and "no price: every request is refused" in tested

        left = await house.post("/welcome/leave", "olga")

        cookies = {"Cookie": f"imagegate={house.tokens['olga']}; {left.headers['set-cookie'].partition(';')[0]}"}
        entered = await house.http.get("/console", headers=cookies)
        assert entered.headers["location"] != "/console/welcome"
        assert (await house.get("/welcome", "olga")).status_code == 200
        await house.http.aclose()


async def test_where_something_was_bought_and_in_the_sandbox_nobody_is_welcomed(
    house: House, tmp_path: Path, relay: RunningSandbox
) -> None:
    assert (await house.get("", "olga")).headers["location"] != "/console/welcome"
    folder = tmp_path / "sandbox"
    folder.mkdir()
    async with running_gateway(folder, relay.base_url, sandbox=True) as running:
        new = await _empty_house(running)
        assert (await new.get("", "olga")).headers["location"] != "/console/welcome"
        assert (await new.get("/welcome", "olga")).status_code == 303
        await new.http.aclose()


async def _empty_house(running: Running) -> House:

    house = House(running, httpx2.AsyncClient(base_url=running.url, timeout=30))
    for name, role in (("olga", "owner"), ("mia", "member")):
        link = await invite(running.database, f"{name}@example.com", role)
        house.tokens[name] = (await accept_invitation(running.database, link.token, PASSWORD, "")).token
    return house
