"""Every page and action of the console x every kind of visitor, and forged posts of each action."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import httpx2
import pytest

from app.console.pages import ROUTES
from app.control.invitations import invite
from app.control.limit_increases import ask_for_more, limits_to_raise
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.people import UserChange, modify_user
from app.control.projects import rename_project
from app.sandbox import RunningSandbox
from tests.console.conftest import NASTY, PASSWORD, House, open_house

Who = Literal[
    "anybody",
    "people",
    "own",
    "changers",
    "buyer",
    "not readers",
    "buyers",
    "overseers",
    "owners",
    "members",
    "deciders",
]
"""Whoever opens it; people who are signed in; owners, readers, and members for what is their own; of those who may change it,
owners and the member whose it is; only the member who bought the private picture; owners and
members; those, where readers see no page; owners and readers; only owners; only members; owners, where others who see the page
may not."""
VISITORS = ("", "ended", "key", "max", "mia", "rita", "olga")
"""Nobody, a session that ended, an API key, another member, the member whose things they are, a reader, an owner."""


@dataclass(frozen=True, slots=True)
class Page:
    """`status` is what whoever may is answered. `fields` are those of the form."""

    method: str
    path: str
    who: Who = "people"
    status: int = 200
    fields: dict[str, str] = field(default_factory=dict)


ZONE = ZoneInfo("Asia/Shanghai")
DAILY = LimitChange("images", "day", 9)
PICTURE = {"project": "proj_default", "model": "seedream-3.0", "prompt": "a fox", "token": "once"}
PAGES = [
    Page("GET", "", status=303),
    Page("GET", "/search", status=303),
    Page("POST", "/preferences", "anybody", 303, {"language": "zh", "next": "/keys"}),
    Page("GET", "/sign-in", "anybody"),
    Page("POST", "/sign-in", "anybody", 401, {"email": "mia@example.com", "password": "wrong"}),
    Page("GET", "/oidc/start", "anybody", 404),  # Where no provider is set; else tests/console/test_oidc.py.
    Page("GET", "/oidc/callback", "anybody", 404),
    Page("GET", "/invite/{token}", "anybody"),
    Page("POST", "/invite/{token}", "anybody", 400, {"password": PASSWORD, "again": "another"}),
    Page("GET", "/account"),
    Page("POST", "/account/password", status=400, fields={"current": "wrong", "password": "x" * 10, "again": "x" * 10}),
    Page("POST", "/account/note", status=303, fields={"way": "off"}),
    Page("POST", "/account/sessions/{session_id}/end", status=404),
    Page("GET", "/create", "buyers"),
    Page("GET", "/create/jobs", "buyers"),
    Page("GET", "/create/jobs/{job_id}", "buyers", 404),  # Of their own only: tests/console/test_jobs.py.
    Page("POST", "/create/price", "buyers", fields=PICTURE),
    Page("POST", "/create", "buyers", 303, PICTURE),
    Page("GET", "/create/edit", "buyers"),
    Page("POST", "/create/edit/price", "buyers", fields=PICTURE),
    Page("POST", "/create/edit", "buyers", 415, PICTURE),  # No form with a file; else tests/console/test_create.py.
    Page("GET", "/overview", "overseers"),
    Page("GET", "/requests"),
    Page("GET", "/requests.csv"),
    Page("GET", "/requests/{request_id}", "own"),
    Page("POST", "/requests/{request_id}", "deciders", 409, {"do": "release", "reason": "a reason"}),  # It is settled.
    Page("GET", "/usage"),
    Page("GET", "/usage.csv"),
    Page("GET", "/statement", "overseers"),
    Page("GET", "/statement.csv", "overseers"),
    Page("POST", "/statement/close", "owners", 303, {"month": "2026-01", "sure": "yes"}),
    Page("GET", "/keys"),
    Page("GET", "/keys/new", "changers"),
    Page("POST", "/keys", "changers", 200, {"name": "new", "project": "proj_default"}),
    Page("GET", "/keys/{key_id}", "own"),
    Page("POST", "/keys/{key_id}/rotate", "changers", 200, {"grace": "day"}),
    Page("POST", "/keys/{key_id}/revoke", "changers", 303),
    Page("GET", "/pictures"),
    Page("POST", "/pictures", "not readers", 400, {"do": "share"}),  # Without pictures.
    Page("GET", "/pictures.zip", status=400),
    Page("GET", "/pictures/{picture_id}", "own"),
    Page("GET", "/pictures/{picture_id}/thumbnail", "buyer"),
    Page("GET", "/pictures/{picture_id}/content", "buyer"),
    Page("POST", "/pictures/{picture_id}", "buyer", 303, {"do": "keep", "days": "30"}),
    Page("GET", "/people", "overseers"),
    Page("GET", "/people/invite", "owners"),
    Page("POST", "/people/invite", "owners", 200, {"email": "nora@example.com", "project": "default"}),
    Page("GET", "/people/list", "owners"),
    Page("POST", "/people/list", "owners", 200, {"people": "name,mail\nnick,nick@example.com", "do": "preview"}),
    Page("GET", "/people/{user_id}", "overseers"),
    Page("POST", "/people/{user_id}/role", "owners", 303, {"role": "reader"}),
    Page("POST", "/people/{user_id}/link", "owners"),
    Page("GET", "/people/{user_id}/leaving", "owners"),
    Page("POST", "/people/{user_id}/leaving", "owners", 303),
    Page("POST", "/people/{user_id}/return", "owners", 303),
    Page("GET", "/projects", "overseers"),
    Page("POST", "/projects", "owners", 303, {"name": "fresh"}),
    Page("GET", "/projects/{project_id}", "overseers"),
    Page("POST", "/projects/{project_id}/members", "owners", 303, {"person": "eva"}),
    Page("POST", "/projects/{project_id}/members/{user_id}/remove", "owners", 303),
    Page("GET", "/limits"),
    Page(
        "POST", "/limits", "owners", 303, {"scope": "everyone", "unit": "images", "interval": "day", "amount": "1000"}
    ),
    Page("POST", "/limits/asks", "members", 400, {"limit": "limit_0", "amount": "5"}),  # Nobody has this limit.
    Page("POST", "/limits/asks/{increase_id}", "owners", 303, {"do": "decline"}),
    Page("GET", "/models", "overseers"),
    Page("GET", "/models/prices", "overseers"),
    Page("POST", "/models/prices", "owners", 303, {"model": "imagen4", "per_image": "0.20"}),
    Page("POST", "/models/prices/end", "owners", 303, {"model": "gpt-image-1", "price": "price_1"}),
    Page("POST", "/models/remove", "owners", 303, {"model": "imagen4"}),
    Page("POST", "/models/aliases", "owners", 303, {"name": "dall-e-9", "model": "gpt-image-1"}),
    Page("POST", "/models/aliases/remove", "owners", 303, {"name": "dall-e-9"}),
    Page("GET", "/models/sync", "overseers"),
    Page("POST", "/models/sync", "owners", 409, {"seen": "another difference"}),
    Page("GET", "/relays", "overseers"),
    Page("POST", "/relays/{relay}", "owners", 303, {"do": "enable"}),
    Page("GET", "/alerts", "overseers"),
    Page("GET", "/alerts/new", "owners"),
    Page("POST", "/alerts", "owners", fields={"amount": "5", "mail": "finance@example.com"}),
    Page("GET", "/alerts/{alert_id}", "overseers"),
    Page("POST", "/alerts/{alert_id}/test", "owners"),
    Page("POST", "/alerts/{alert_id}/delete", "owners", 303),
    Page("GET", "/audit", "overseers"),
    Page("GET", "/settings", "overseers"),
    Page("GET", "/welcome", "overseers"),
    Page("POST", "/welcome/leave", "owners", 303),
    # Last, because it ends the session.
    Page("POST", "/sign-out", status=303),
]
OF_ONE = ("/keys/{key_id}", "/pictures/{picture_id}", "/requests/{request_id}")
_ONLY: dict[str, tuple[str, ...]] = {
    "buyers": ("max", "mia", "olga"),
    "overseers": ("rita", "olga"),
    "owners": ("olga",),
    "members": ("max", "mia"),
}
"""Those for whom a page is there, for pages that are not there for others."""


def expected(page: Page, who: str) -> tuple[int, bool]:
    """Status of the answer, and whether it leads to the sign-in."""
    signed_in = who in ("max", "mia", "rita", "olga")
    if page.who == "anybody":
        return (303, False) if signed_in and (page.method, page.path) == ("GET", "/sign-in") else (page.status, False)
    if not signed_in:
        return 303, True
    if page.path.startswith(OF_ONE) and who == "max":
        return 404, False
    if page.who in ("changers", "not readers") and who == "rita":
        return 403, False
    if page.who == "buyer" and who in ("rita", "olga"):
        return 403, False
    if page.who == "deciders" and who != "olga":
        return 403, False
    if page.who in _ONLY and who not in _ONLY[page.who]:
        return 404, False
    return page.status, page.path == "/sign-out"


async def limit_of(house: House, who: str) -> int:
    """Return the id of the one limit that holds for a member."""
    [state] = await limits_to_raise(house.running.database, ZONE, house.users[who])
    return state.limit.id


async def visit(house: House, page: Page, who: str, **more: str | None) -> httpx2.Response:
    invited = await invite(house.running.database, "nils@example.com") if "{token}" in page.path else None
    names = {"token": invited.token if invited else "", "session_id": "sess_nothing"}
    names |= {"user_id": house.users["eva"], "project_id": house.project_id, "increase_id": house.increase_id}
    names |= {"job_id": "req_nothing", "relay": "default", "request_id": house.pictures[0].rpartition("_")[0]}
    path = page.path.format(key_id=house.keys["mia"].id, picture_id=house.pictures[0], alert_id=house.alert, **names)
    if page.method == "GET":
        return await house.get(path, who)
    return await house.post(path, who, **page.fields, **more)  # type: ignore[arg-type]  # `origin` may be None


async def test_only_what_each_role_may_is_answered(house: House) -> None:
    await house.buy("mia")
    mia, limit_id = house.users["mia"], await limit_of(house, "mia")
    house.increase_id = (await ask_for_more(house.running.database, mia, limit_id, 10_000_000, "posters")).id
    wrong = {}
    for page in PAGES:
        for who in VISITORS:
            if page.path == "/keys/{key_id}/revoke" and who == "olga":
                continue  # Revoked by its member before.
            answer = await visit(house, page, who)
            to_sign_in = "/console/sign-in" in answer.headers.get("location", "")
            if (answer.status_code, to_sign_in) != (wanted := expected(page, who)):
                wrong[page.method, page.path, who] = (answer.status_code, to_sign_in, wanted, answer.text[-900:-300])

    assert wrong == {}


def test_every_page_has_a_row() -> None:
    assert {(page.method, page.path) for page in PAGES} == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:1"])
async def test_a_form_of_another_site_changes_nothing(house: House, origin: str | None) -> None:
    await house.buy("mia")
    for page in PAGES:
        if page.method == "POST":
            answer = await visit(house, page, "mia", origin=origin)
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), page.path
    assert (await house.get("/keys", "mia")).text.count("laptop") == 1  # Nothing was revoked, made or signed out.
    assert ">new<" not in (await house.get("/keys?status=all", "mia")).text


async def test_over_https_the_public_address_decides_and_the_cookie_is_bound_to_it(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    public = "https://images.example.com/gateway"
    async with open_house(tmp_path, relay.base_url, public_url=public) as house:
        fields = {"email": "mia@example.com", "password": PASSWORD}
        for origin in (house.running.url, "http://images.example.com", None):
            assert (await house.post("/sign-in", origin=origin, **fields)).status_code == 403

        answer = await house.post("/sign-in", origin="https://images.example.com", **fields)

        cookie = answer.headers["set-cookie"]
        assert answer.headers["location"] == "/gateway/console"
        assert cookie.startswith("__Host-imagegate=") and "; Path=/;" in cookie
        assert {"Secure", "HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
        signed_in = {"Cookie": cookie.partition(";")[0]}
        stripped = await house.http.get("/console/keys", headers=signed_in)
        kept = await house.http.get("/gateway/console/keys", headers=signed_in)
        assert stripped.status_code == kept.status_code == 200
        assert 'href="/gateway/console/usage"' in kept.text and 'href="/console/' not in kept.text
        assert (await house.http.get("/gateway/healthz")).status_code == 200
        assert (await house.http.get("/healthz")).status_code == 200


async def test_what_people_name_stays_text(house: House) -> None:
    await set_limits(database := house.running.database, ZONE, ScopeRef("key", house.keys["max"].id), None, [DAILY])
    await modify_user(database, house.users["max"], UserChange(name=NASTY))
    await rename_project(database, house.project_id, NASTY)
    await ask_for_more(database, house.users["mia"], await limit_of(house, "mia"), 10_000_000, NASTY)
    pages = ["/keys", "/keys?q=" + NASTY, f"/keys/{house.keys['max'].id}", "/usage?by=key&model=" + NASTY]
    pages += ["/people", f"/people/{house.users['max']}", f"/people/{house.users['max']}/leaving", "/projects"]
    pages += [
        f"/projects/{house.project_id}",
        "/limits",
        "/limits?scope=key",
        "/limits?scope=user&new=1&scope_id=" + NASTY,
    ]
    for path in pages:
        text = (await house.get(path, "olga")).text
        assert NASTY not in text and "&lt;script&gt;" in text, path


async def test_answers_carry_the_rules_for_browsers(house: House) -> None:
    for path, who in (("/keys", "mia"), ("/sign-in", ""), ("/nothing", ""), ("/keys/nothing", "mia")):
        headers = (await house.get(path, who)).headers
        policy = headers["content-security-policy"]
        assert (
            "default-src 'none'; script-src 'self'; style-src 'self'" in policy and "frame-ancestors 'none'" in policy
        )
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


async def test_the_entrance_sends_browsers_to_the_console_and_tells_programs(house: House) -> None:
    browser = await house.http.get("/", headers={"accept": "text/html,application/xhtml+xml"})
    program = await house.http.get("/")

    assert (browser.status_code, browser.headers["location"]) == (303, "/console/")
    assert "POST /v1/images/generations" in program.json()["endpoints"]
