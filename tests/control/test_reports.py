"""Usage and requests, for reading."""

import pytest

from app.control import people, requests, usage
from app.control.requests import RequestFilter
from app.errors import InvalidValue, NotFound
from app.store.engine import Database
from app.store.pages import Cursor
from app.store.usage import Sums
from tests.administration import create_key
from tests.databases import insert_request, insert_usage, revision


async def test_a_report_has_the_dimensions_in_the_order_asked_for_and_a_total(database: Database) -> None:
    await insert_usage(database, model="a", cost_micros=3)
    await insert_usage(database, model="b", cost_micros=4, day="2026-11-22")
    before = await revision(database)

    report = await usage.report(database, ["model", "day", "model"], since="2026-11-21")

    assert report.by == ("model", "day")
    assert [row.names[0][0] for row in report.rows] == ["a", "b"]
    assert report.total == Sums(2, 2, 7, 0, 0)
    assert await revision(database) == before


@pytest.mark.parametrize(
    ("field", "by", "since", "until"),
    [
        ("by", ["model", "planet"], None, None),
        ("since", [], "21.11.2026", None),
        ("since", [], "2026-02-30", None),
        ("until", [], None, "20261121"),
        ("until", [], "2026-11-21", "2026-11-21"),
    ],
)
async def test_a_report_that_cannot_be_is_refused_by_field(
    database: Database, field: str, by: list[str], since: str | None, until: str | None
) -> None:
    with pytest.raises(InvalidValue) as refused:
        await usage.report(database, by, since, until)
    assert refused.value.param == field


async def test_requests_are_listed_by_name_or_id_of_a_user(database: Database) -> None:
    user = await people.create_user(database, "lin")
    await people.create_user(database, "bo")
    key = await create_key(database)
    await insert_request(database, user.id, key.id)

    pages = [
        await requests.page_of_requests(database, Cursor(), RequestFilter(user=who))
        for who in (None, "lin", user.id, "bo")
    ]

    assert [len(page.records) for page in pages] == [1, 1, 1, 0]
    assert await requests.show_request(database, "req_1") == pages[0].records[0]


async def test_what_is_unknown_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound):
        await requests.show_request(database, "req_\n1")
    with pytest.raises(NotFound):
        await requests.page_of_requests(database, Cursor(), RequestFilter(user="nobody"))
