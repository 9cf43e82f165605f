"""Pages of signing in: nothing tells who exists, attempts are bounded, and no secret is in the log."""

import asyncio
import re
import time

import structlog

from app.control.invitations import invite
from app.control.people import UserChange, modify_user
from tests.console.conftest import PASSWORD, House
from tests.images.client import until


async def test_a_password_signs_in_and_leads_on(house: House) -> None:
    asked = await house.get("/keys?status=all")
    assert asked.headers["location"] == "/console/sign-in?next=%2Fkeys%3Fstatus%3Dall"

    assert "An owner can make you a new link" in (await house.get("/sign-in")).text
    answer = await house.post("/sign-in", email="MIA@example.com", password=PASSWORD, next="/keys?status=all")

    cookie = answer.headers["set-cookie"]
    assert answer.headers["location"] == "/console/keys?status=all"
    assert cookie.startswith("imagegate=") and "HttpOnly" in cookie and "Secure" not in cookie
    page = await house.http.get("/console/keys", headers={"Cookie": cookie.partition(";")[0]})
    assert "laptop" in page.text


async def test_no_answer_leads_to_another_site(house: House) -> None:
    for following in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nx: y"):
        answer = await house.post("/sign-in", email="mia@example.com", password=PASSWORD, next=following)
        assert re.fullmatch(r"/console(/a%0D.*)?", answer.headers["location"]), following


async def test_somebody_unknown_somebody_disabled_and_a_wrong_password_get_one_answer(house: House) -> None:
    await modify_user(house.running.database, "max", UserChange(disabled=True))

    answers = [
        await house.post("/sign-in", email=email, password=password)
        for email, password in (
            ("mia@example.com", "wrong password"),
            ("nobody@example.com", "wrong password"),
            ("max@example.com", PASSWORD),
        )
    ]

    texts = {re.sub(r"(value=\")[^\"]*@example.com|req_\w+", r"\1", answer.text) for answer in answers}
    assert len(texts) == 1 and {answer.status_code for answer in answers} == {401}
    assert all("set-cookie" not in answer.headers for answer in answers)


async def test_failed_attempts_are_bounded_for_an_account_and_attempts_for_an_address(house: House) -> None:
    for email in ("mia@example.com", "nobody@example.com"):
        statuses = [
            (await house.post("/sign-in", email=email, password=f"wrong {number}")).status_code for number in range(11)
        ]
        assert statuses == [401] * 10 + [429]
    right = await house.post("/sign-in", email="mia@example.com", password=PASSWORD)
    assert right.status_code == 429
    for number in range(30):
        last = await house.post("/sign-in", email=f"{number}@example.com", password="wrong")
    assert last.status_code == 429


async def test_an_invitation_is_shown_often_and_used_once(house: House) -> None:
    link = await invite(house.running.database, "nils@example.com")
    path = f"/invite/{link.token}"

    with structlog.testing.capture_logs() as logs:
        assert [(await house.get(path)).status_code for _ in range(2)] == [200, 200]
        short = await house.post(path, password="short", again="short")
        used = await house.post(path, password=PASSWORD, again=PASSWORD)
        again = await house.post(path, password=PASSWORD, again=PASSWORD)

    assert (short.status_code, used.status_code, again.status_code) == (400, 303, 404)
    assert "set-cookie" in used.headers and "set-cookie" not in again.headers
    assert [line["path"] for line in logs if line["event"] == "request"] == ["/console/invite/..."] * 5
    assert link.token not in repr(logs) and PASSWORD not in repr(logs)


async def test_the_first_owner_names_an_address(house: House) -> None:
    link = await invite(house.running.database, "first@example.com", "owner")
    async with house.running.database.write() as connection:
        await connection.exec_driver_sql("UPDATE users SET email = NULL WHERE email = 'first@example.com'")
    fields = {"password": PASSWORD, "again": PASSWORD}

    assert (await house.post(f"/invite/{link.token}", **fields)).status_code == 400
    assert (await house.post(f"/invite/{link.token}", **fields, email="mia@example.com")).status_code == 400
    assert (await house.post(f"/invite/{link.token}", **fields, email="Owner@example.com")).status_code == 303
    assert (await house.post("/sign-in", email="owner@example.com", password=PASSWORD)).status_code == 303


async def test_signing_out_ends_the_session_and_a_new_password_the_others(house: House) -> None:
    assert (await house.post("/sign-out", "max")).status_code == 303
    assert (await house.get("/keys", "max")).status_code == 303
    other = await house.post("/sign-in", email="mia@example.com", password=PASSWORD)
    fields = {"current": PASSWORD, "password": "another password", "again": "another password"}

    assert (await house.post("/account/password", "mia", **fields)).status_code == 303

    cookie = other.headers["set-cookie"].partition(";")[0]
    assert (await house.http.get("/console/keys", headers={"Cookie": cookie})).status_code == 303
    assert (await house.get("/keys", "mia")).status_code == 200


async def test_a_session_shows_pictures_of_ones_own_and_administers_by_role(house: House) -> None:
    headers = {"Cookie": f"imagegate={house.tokens['olga']}", "Origin": house.running.url}
    made = await house.http.post("/v1/organization/projects", json={"name": "by session"}, headers=headers)
    assert made.status_code == 200
    forged = {**headers, "Origin": "http://evil.example"}
    refused = await house.http.post("/v1/organization/projects", json={"name": "forged"}, headers=forged)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    assert int(time.time()) - made.json()["created_at"] < 60


async def test_a_browser_that_leaves_while_it_sends_a_form_is_no_error_of_ours(house: House) -> None:
    host, _, port = house.running.url.removeprefix("http://").partition(":")
    head = f"POST /console/sign-in HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {house.running.url}\r\nContent-Length: 90\r\n\r\n"

    with structlog.testing.capture_logs() as lines:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + b"email=mia")
        await writer.drain()
        writer.close()
        await until(lambda: any(line["event"] == "request" for line in lines))

    assert [line["status"] for line in lines if line["event"] == "request"] == [499]
    assert [line for line in lines if line["log_level"] == "error"] == []
