"""Pages of people and projects: lists that add up, invitations by list, roles, and what stops when somebody leaves."""

import re
from urllib.parse import unquote

import httpx2
import sqlalchemy as sa

from app.control.invitations import accept_invitation
from app.store.organization import list_users
from app.store.tables import users
from tests.console.conftest import PASSWORD, House

LIST = """name,mail,project,limit
Nils,nils@example.com,posters,20
Nora,nora@example.com,market,12.50
Nora,nora@example.com,posters,
Ned,,posters,
"""


def row_of(text: str, name: str) -> str:
    """Return the row of a table whose first cell links to this name."""
    return next(row for row in text.split("<tr>") if f">{name}</a>" in row)


def cells(row: str) -> list[str]:
    return [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in row.split("<td")[1:]]


async def works(house: House, secret: str) -> int:
    house.running.gateway.control_data.expire()  # Else a change takes half a second.
    async with httpx2.AsyncClient(timeout=60) as http:
        headers = {"Authorization": f"Bearer {secret}"}
        return (await http.get(f"{house.running.url}/v1/models", headers=headers)).status_code


async def test_what_a_person_and_a_project_spent_is_the_total_of_the_page_it_leads_to(house: House) -> None:
    people, projects = (await house.get("/people", "rita")).text, (await house.get("/projects", "rita")).text
    for row in (row_of(people, "mia"), row_of(people, "max"), row_of(projects, "posters"), row_of(projects, "default")):
        found = re.search(r'<a href="/console(/usage[^"]*)">([^<]*)</a>', row)
        assert found is not None, row
        usage = (await house.get(found[1].replace("&amp;", "&"), "rita")).text
        assert f"<b>{found[2]}</b>" in usage, found

    mia = cells(row_of(people, "mia"))
    assert (mia[1].split(">")[-1].strip(), mia[5].split(">")[-1].strip()) == ("Member", "2")
    assert "50.00 CNY" in mia[4]  # Nothing is counted on the limit of what the tests write into the roll-up.


async def test_the_list_is_searched_and_goes_on(house: House) -> None:
    async with house.running.database.transaction() as connection:
        made = [
            {"id": f"user-{n:03}", "name": f"p{n:03}", "email": f"p{n:03}@x.org", "created_at_ms": 1} for n in range(60)
        ]
        await connection.execute(sa.insert(users), made)

    first = (await house.get("/people", "olga")).text
    following = re.findall(r'href="/console(/people\?after=[^"]*)"', first)
    second = (await house.get(following[0].replace("&amp;", "&"), "olga")).text

    names = re.findall(r'/console/people/user-\w+">([^<]+)</a>', first + second)
    assert names == sorted(names) and len(names) == 65 and len(set(names)) == 65
    found = (await house.get("/people?q=P007@X", "olga")).text
    assert "p007@x.org" in found and ">1 person ·" in found
    never = (await house.get("/people?status=never", "olga")).text
    assert ">p000</a>" in never and ">mia</a>" not in never
    assert (await house.get("/people?after=user-nothing", "olga")).status_code == 400


async def test_a_list_is_shown_before_it_is_applied_and_its_links_once(house: House) -> None:
    before = [user.name for user in await house.running.database.ask(list_users)]
    refused = await house.post("/people/list", "olga", people=LIST, do="apply")
    preview = await house.post("/people/list", "olga", people=LIST, create_projects="yes", do="preview")
    assert (refused.status_code, preview.status_code) == (400, 200)
    assert "market" in refused.text and preview.text.count("link to sign in") == 2
    assert [user.name for user in await house.running.database.ask(list_users)] == before

    made = await house.post("/people/list", "olga", people=LIST, create_projects="yes", do="apply")

    links = re.findall(r"(\w+@example.com),http://[^/]+/console/invite/([\w-]+)", made.text)
    assert [email for email, _ in links] == ["nils@example.com", "nora@example.com"]
    session = await accept_invitation(house.running.database, links[1][1], PASSWORD, "Firefox")
    house.tokens["nora"] = session.token
    assert "12.50 CNY" in (await house.get("/limits", "nora")).text
    again = await house.post("/people/list", "olga", people=LIST, do="apply")
    assert "nora@example.com," not in again.text and "nils@example.com" in again.text  # Nils never signed in.
    assert "no address" in made.text and "Pass the other links on yourself." in made.text


async def test_one_person_is_invited_with_a_role_a_project_and_a_limit(house: House) -> None:
    fields = {"email": "nils@example.com", "role": "reader", "project": "posters", "spend": "7.50"}
    wrong = await house.post("/people/invite", "olga", **fields | {"spend": "much"})
    made = await house.post("/people/invite", "olga", **fields)

    [user] = [user for user in await house.running.database.ask(list_users) if user.email == "nils@example.com"]
    assert (wrong.status_code, made.status_code, user.access_role) == (400, 200, "reader")
    assert 'value="nils@example.com"' in wrong.text
    assert "<h1>Link to sign in</h1>" in made.text and "not mailed: the mail server did not take it" in made.text
    assert "Pass the link on to nils@example.com yourself." in made.text
    page = (await house.get(f"/people/{user.id}", "olga")).text
    assert "7.50 CNY" in page and ">posters</a>" in page and "never signed in" in page


async def test_the_last_owner_stays_one_and_is_told_why_in_both_languages(house: House) -> None:
    olga = house.users["olga"]
    made = await house.post(f"/people/{house.users['eva']}/role", "olga", role="member")
    again = await house.post(f"/people/{house.users['eva']}/role", "olga", role="member")
    person = f"/console/people/{house.users['eva']}"
    assert [each.headers["location"] for each in (made, again)] == [f"{person}?done=role", person]

    for path, fields in ((f"/people/{olga}/role", {"role": "member"}), (f"/people/{olga}/leaving", {})):
        english = await house.post(path, "olga", **fields)
        assert (english.status_code, "Make somebody else an owner first" in english.text) == (409, True), path
    cookie = {"Cookie": f"imagegate={house.tokens['olga']}; imagegate_language=zh", "Origin": house.running.url}
    chinese = await house.http.post(f"/console/people/{olga}/role", data={"role": "reader"}, headers=cookie)
    assert "请先让另一个人成为所有者" in chinese.text
    assert (await house.get("/people", "olga")).status_code == 200


async def test_whoever_leaves_is_previewed_then_stopped_and_may_come_back(house: House) -> None:
    path = f"/people/{house.users['mia']}"
    preview = (await house.get(f"{path}/leaving", "olga")).text
    assert "next second on: 2" in preview and "signed out: 1" in preview and ">laptop</a>" in preview
    assert await works(house, house.keys["mia"].key) == 200

    await house.post(f"{path}/leaving", "olga")

    assert await works(house, house.keys["mia"].key) == 401
    assert "/sign-in" in (await house.get("/keys", "mia")).headers["location"]
    assert ">mia</a>" not in (await house.get("/people", "olga")).text
    assert ">mia</a>" in (await house.get("/people?status=disabled", "olga")).text
    await house.post(f"{path}/return", "olga")
    assert await works(house, house.keys["mia"].key) == 200
    assert "/sign-in" in (await house.get("/keys", "mia")).headers["location"]  # The old session stays ended.


async def test_a_new_link_replaces_the_password_of_a_person(house: House) -> None:
    shown = (await house.post(f"/people/{house.users['max']}/link", "olga")).text
    found = re.search(r"/console/invite/([\w-]+)", shown)
    assert found is not None

    await accept_invitation(house.running.database, found[1], "another good password", "Firefox")

    answer = await house.post("/sign-in", email="max@example.com", password="another good password")
    assert answer.status_code == 303 and "sign-in" not in unquote(answer.headers["location"])


async def test_people_are_added_to_a_project_and_taken_out(house: House) -> None:
    path = f"/projects/{house.project_id}"
    added = await house.post(f"{path}/members", "olga", person="max@example.com")
    unknown = await house.post(f"{path}/members", "olga", person="nobody")
    assert (added.status_code, unknown.status_code) == (303, 404)
    assert ">max</a>" in (await house.get(path, "rita")).text

    await house.post(f"{path}/members/{house.users['mia']}/remove", "olga")

    assert ">mia</a>" not in (await house.get(path, "rita")).text
    assert await works(house, house.keys["posters"].key) == 401
