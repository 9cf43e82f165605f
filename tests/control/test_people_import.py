"""A team from a file: all or nothing, and nothing that exists is changed."""

from zoneinfo import ZoneInfo

import pytest

from app.control.limits import ScopeRef, show_limits
from app.control.members import page_of_members
from app.control.people_files import PEOPLE_MAX, read_people
from app.control.people_import import ImportedPerson, import_people
from app.control.projects import archive_project, create_project
from app.errors import Conflict, GatewayError, InvalidValue
from app.store.engine import Database
from app.store.organization import list_users
from app.store.pages import Cursor
from tests.administration import PEPPER, disable_user, list_keys, revoke_key
from tests.databases import revision

TEAM = """\
name,mail,project,role,limits
lin,lin@example.com,red,owner,spend/month=10.00 images/day=20
lin,lin@example.com,blue,,
bo,,red,,concurrent=2
"""


async def team(database: Database, text: str = TEAM, **given: bool) -> list[ImportedPerson]:
    return await import_people(database, PEPPER, read_people(text), **{"create_projects": True, **given})


async def test_a_team_is_made_and_made_again_changes_nothing(database: Database) -> None:
    first = await team(database)
    before, keys = await revision(database), await list_keys(database)
    second = await team(database)

    assert [person.created for person in first] == [
        ("project", "user", "member", "limits", "key"),
        ("project", "member", "key"),
        ("user", "member", "limits", "key"),
    ]
    assert [(person.created, person.notes, person.key) for person in second] == [((), (), None)] * 3
    assert await list_keys(database) == keys and {key.id for key in keys} == {
        person.key.id for person in first if person.key
    }
    members = (await page_of_members(database, "red", Cursor())).records
    assert {(member.name, member.role) for member in members} == {("lin", "owner"), ("bo", "member")}
    assert await revision(database) >= before


async def test_whatever_exists_stays_and_differences_are_told(database: Database) -> None:
    await team(database)

    [lin] = await team(
        database, "name,mail,project,role,limits\nLin Li,LIN@example.com,red,member,images/day=30 images/week=9"
    )

    shown = await show_limits(database, ZoneInfo("UTC"), ScopeRef("user", "lin"))
    assert lin.created == ("limits",)
    assert {(each.limit.interval, each.limit.amount) for each in shown} == {
        ("month", 10_000_000),
        ("day", 20),
        ("week", 9),
    }
    assert set(lin.notes) == {
        "the name stays lin",
        "the role stays owner",
        "the daily image quota of user lin stays 20",
    }


async def test_whose_key_is_revoked_gets_another(database: Database) -> None:
    await team(database)
    [key] = [key for key in await list_keys(database) if key.user == "bo"]
    await revoke_key(database, key.id)

    assert [person.created for person in await team(database)] == [(), (), ("key",)]


async def test_a_dry_run_leaves_no_trace(database: Database) -> None:
    before = await revision(database)

    found = await team(database, dry_run=True)

    assert [len(person.created) for person in found] == [5, 3, 4]
    assert await revision(database) == before and await database.ask(list_users) == [] == await list_keys(database)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("bo,bo@example.com,red,,", "Line 5: 'bo' is in 'red' already, from line 4"),
        ("lin,lin@example.com,green,,images/day=21", "Line 5: the limits of 'lin' .* than in line 2"),
        ("lin,other@example.com,red,,", "Line 5: 'lin' is somebody with the mail 'lin@example.com'"),
        ("zoe,,old,,", "Line 5: The project 'old' is archived"),
        ("eve,,red,,", "Line 5: The user 'eve' is disabled"),
    ],
)
async def test_one_wrong_line_undoes_all(database: Database, line: str, told: str) -> None:
    await team(database, "name\neve")
    await disable_user(database, "eve")
    await create_project(database, "old")
    await archive_project(database, "old")
    before = await revision(database)

    with pytest.raises(Conflict, match=told) as refused:
        await team(database, TEAM + line)

    assert refused.value.message.endswith("Nothing is changed.")
    assert await revision(database) == before and [user.name for user in await database.ask(list_users)] == ["eve"]


async def test_a_missing_project_is_made_only_when_asked(database: Database) -> None:
    with pytest.raises(InvalidValue, match=r"no project 'red' \(line 2\), 'blue' \(line 3\).*--create-projects"):
        await team(database, create_projects=False)


def test_columns_may_stand_in_any_order_and_be_separated_as_a_spreadsheet_does() -> None:
    [lin] = read_people("\ufeffProject;E-Mail;Name\r\n\r\nred;lin@example.com;林\r\n")

    assert (lin.number, lin.name, lin.email, lin.project, lin.role, lin.limits) == (
        3,
        "林",
        "lin@example.com",
        "red",
        "member",
        (),
    )
    [quoted] = read_people('name,limits\n"lin","images/day=3, images/week=9"')
    assert [(limit.unit, limit.interval, limit.amount) for limit in quoted.limits] == [
        ("images", "day", 3),
        ("images", "week", 9),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "such as name,mail,project,role,limits"),
        ("name,mail\n", "0 lines"),
        ("name\n" + "x\n" * (PEOPLE_MAX + 1), f"1 to {PEOPLE_MAX}"),
        ("name,phone\nlin,1", "'phone' is not one of them"),
        ("name,name\nlin,1", "'name' is not one of them, or twice"),
        ("mail\na@b", "no column name"),
        ("name\nlin\nbo,bo@example.com", "Line 3: it has 2 cells"),
        ("name,mail\n,a@b\nlin,lin", "Line 2: The name must .* Line 3: The email 'lin' .* Nothing is changed"),
        (
            "name,limits\nlin,images/day=many",
            "Line 2: 'images/day=many': 'many' is not a whole number; write limits like",
        ),
        ("name,limits\nlin,images/year=1", "Line 2: 'images/year=1': not a limit; write"),
        ("name,limits\nlin,images/day", "Line 2: 'images/day': '' is not a whole number"),
        ("name,limits\nlin,spend/month=1.234", "two decimal places"),
        ("name,limits\nlin,spend/minute=1", "Line 2: A limit of micros is per day"),
        ("name,limits\nlin,images/day=1 images/day=2", "for the second time"),
        ("name,role\nlin,none", "Line 2: none stands for"),
        ('name\n"lin', "Line 2: unexpected end of data"),
    ],
)
def test_a_broken_file_is_told_by_line_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(GatewayError, match=told) as refused:
        read_people(text)
    assert refused.value.status == 400
