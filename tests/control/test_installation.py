"""What an installation is bound to, and what a new one begins with."""

import asyncio
from zoneinfo import ZoneInfo

import pytest

from app.control import limits, people
from app.control.installation import check_binding, claim, first_key
from app.control.pepper import Peppers
from app.core.keys import matches
from app.errors import ConfigurationError
from app.store.engine import Database
from app.store.tables import api_keys, organization
from tests.administration import list_keys
from tests.databases import revision

PEPPER = b"0123456789abcdef" * 2
ZONE = ZoneInfo("Asia/Shanghai")


async def test_a_claim_writes_once(database: Database) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")
    before = await revision(database)
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    assert await revision(database) == before


async def test_another_pepper_is_refused_with_the_cure(database: Database) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    with pytest.raises(ConfigurationError, match="Put back the IMAGEGATE_SECRET_KEY"):
        await claim(database, Peppers(PEPPER[::-1]), "CNY", "Asia/Shanghai")


@pytest.mark.parametrize(
    ("other", "cure"),
    [
        (("USD", "Asia/Shanghai"), "set IMAGEGATE_CURRENCY=CNY"),
        (("CNY", "UTC"), "set IMAGEGATE_TIMEZONE=Asia/Shanghai"),
    ],
)
async def test_another_currency_or_timezone_is_refused_with_the_cure(
    database: Database, other: tuple[str, str], cure: str
) -> None:
    await check_binding(database, *other)
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    for refused in (claim(database, Peppers(PEPPER), *other), check_binding(database, *other)):
        with pytest.raises(ConfigurationError, match=cure):
            await refused


async def test_a_book_from_before_timezones_were_bound_takes_that_of_the_next_start(database: Database) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")
    async with database.transaction() as connection:
        await connection.execute(organization.update().values(timezone=None))

    await claim(database, Peppers(PEPPER), "CNY", "UTC")

    with pytest.raises(ConfigurationError, match="in UTC"):
        await check_binding(database, "CNY", "Asia/Shanghai")


async def test_of_two_first_starts_with_different_peppers_one_wins(database: Database) -> None:
    peppers = [bytes([number]) * 32 for number in range(6)]

    outcomes = await asyncio.gather(
        *(claim(database, Peppers(pepper), "CNY", "Asia/Shanghai") for pepper in peppers), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConfigurationError"] * 5 + ["bytes"]


async def test_the_first_key_works_and_has_small_limits(database: Database) -> None:
    created = await first_key(database, PEPPER)

    assert created is not None
    async with database.read() as connection:
        stored = (await connection.execute(api_keys.select())).mappings().one()
    assert matches(PEPPER, created.key, stored["secret_hmac"])
    assert stored["id"] == created.id
    states = await limits.show_limits(database, ZONE)
    assert [(state.limit.label, state.limit.amount) for state in states] == [
        ("monthly spend limit of user me", 20_000_000),
        ("requests per minute of user me", 10),
    ]


async def test_the_first_key_is_made_once_however_many_ask(database: Database) -> None:
    made = await asyncio.gather(*(first_key(database, PEPPER) for _ in range(5)))

    assert sum(key is not None for key in made) == 1
    assert await first_key(database, PEPPER) is None
    assert len(await list_keys(database)) == 1


async def test_there_is_no_first_key_where_there_is_a_user(database: Database) -> None:
    await people.create_user(database, "lin")

    assert await first_key(database, PEPPER) is None
