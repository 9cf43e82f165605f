"""Sign-in at a real OIDC provider, which runs in a thread: who may enter, as what, and what does not get in."""

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from app.control.invitations import invite
from app.control.people import UserChange, modify_user, show_user
from app.sandbox import RunningSandbox
from tests.console.conftest import House, open_house

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The provider, in this process, uses parts of Authlib that have newer ones."""


@pytest.fixture
def people() -> dict[str, dict[str, Any]]:
    """Claims that the provider makes, by subject."""
    return {
        "mia": {"email": "Mia@Example.com", "email_verified": True},
        "zoe": {"email": "zoe@partner.example", "email_verified": True, "groups": ["finance", "all"]},
        "eva": {"email": "max@example.com", "email_verified": False},
        "kim": {"email": "kim@elsewhere.example", "email_verified": True},
    }


@pytest.fixture
def issuer(people: dict[str, dict[str, Any]]) -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):  # The provider is built on older parts of Authlib.
        from oidc_provider_mock import User, run_server_in_thread

    users = [User(sub=subject, claims=claims) for subject, claims in people.items()]
    with run_server_in_thread(user_claims=users, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@asynccontextmanager
async def signing_on(folder: Path, relay: RunningSandbox, issuer: str, **more: str) -> AsyncIterator[House]:
    given = {"oidc_issuer": issuer, "oidc_client_id": "imagegate", "oidc_client_secret": "a secret"}
    async with open_house(folder, relay.base_url, **given, **more) as house:
        yield house


async def go(house: House, subject: str, **changed: str) -> httpx2.Response:
    """Sign in as a browser does: to the provider, through its form, and back. `changed` are parameters of the way back."""
    started = await house.get("/oidc/start")
    assert started.status_code == 303, started.text
    cookie = started.headers["set-cookie"].partition(";")[0]
    asked = parse_qs(urlsplit(started.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["nonce"] and asked["state"]
    async with httpx2.AsyncClient(timeout=60) as http:
        answer = await http.post(started.headers["location"], data={"sub": subject})
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{house.running.url}/console/oidc/callback"
    query = {name: values[0] for name, values in parse_qs(back.query).items()} | changed
    return await house.http.get(back.path, params=query, headers={"Cookie": cookie})


async def role_after(house: House, answer: httpx2.Response) -> tuple[str, str]:
    assert answer.status_code == 303, answer.text
    cookies = [value.partition(";")[0] for value in answer.headers.get_list("set-cookie")]
    page = await house.http.get("/console/account", headers={"Cookie": cookies[0]})
    [name] = [part.partition("</span>")[0] for part in page.text.split('<span class="name">')[1:]]
    return name, (await show_user(house.running.database, name))[0].access_role


async def test_an_invited_person_enters_and_is_bound_to_the_identity(
    tmp_path: Path, relay: RunningSandbox, issuer: str
) -> None:
    async with signing_on(tmp_path, relay, issuer) as house:
        assert f"localhost:{urlsplit(issuer).port}" in (await house.get("/sign-in")).text
        assert await role_after(house, await go(house, "mia")) == ("mia", "member")

        await modify_user(house.running.database, "mia", UserChange(email="other@example.com"))
        assert await role_after(house, await go(house, "mia")) == ("mia", "member")

        await modify_user(house.running.database, "mia", UserChange(disabled=True))
        assert (await go(house, "mia")).status_code == 403


async def test_nobody_enters_uninvited_or_by_an_address_that_was_not_verified(
    tmp_path: Path, relay: RunningSandbox, issuer: str
) -> None:
    async with signing_on(tmp_path, relay, issuer, oidc_domains="Partner.example") as house:
        for subject in ("eva", "kim"):
            refused = await go(house, subject)
            assert (refused.status_code, "set-cookie" in refused.headers) == (403, False), subject
        assert await role_after(house, await go(house, "zoe")) == ("zoe", "member")
        await invite(house.running.database, "kim@elsewhere.example", "reader")
        assert await role_after(house, await go(house, "kim")) == ("kim", "reader")


async def test_roles_follow_the_groups(tmp_path: Path, relay: RunningSandbox, issuer: str) -> None:
    rules = {"oidc_roles": "admins=owner, finance=reader", "oidc_domains": "partner.example"}
    async with signing_on(tmp_path, relay, issuer, **rules) as house:
        assert await role_after(house, await go(house, "zoe")) == ("zoe", "reader")
        await modify_user(house.running.database, "mia", UserChange(access_role="owner"))
        assert await role_after(house, await go(house, "mia")) == ("mia", "member")


async def test_the_way_back_is_one_browsers_and_once(tmp_path: Path, relay: RunningSandbox, issuer: str) -> None:
    async with signing_on(tmp_path, relay, issuer) as house:
        for changed in ({"state": "another"}, {"state": ""}, {"code": "another"}, {"code": ""}):
            refused = await go(house, "mia", **changed)
            assert (refused.status_code, "set-cookie" in refused.headers) == (403, False), changed
        assert (await house.get("/oidc/callback?state=a&code=b")).status_code == 403


async def test_a_provider_that_is_away_or_is_another_is_told(
    tmp_path: Path, relay: RunningSandbox, issuer: str
) -> None:
    for wrong in ("http://127.0.0.1:9", f"{issuer}/another", f"{issuer}/"):
        folder = tmp_path / str(len(wrong))
        folder.mkdir()
        async with signing_on(folder, relay, wrong) as house:
            assert (await house.get("/oidc/start")).status_code == 403, wrong
