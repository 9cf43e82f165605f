"""The migrations build the tables the code works with, on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.store.engine import Database
from app.store.migrations import schema_state, upgrade
from app.store.tables import metadata, organization


async def test_the_migrations_build_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_upgrade_done_twice_changes_nothing(database: Database) -> None:
    before = await schema_state(database)

    after = await upgrade(database)

    assert before == after
    assert after.up_to_date


async def test_a_schema_of_a_newer_program_is_told_apart(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    state = await schema_state(database)

    assert not state.known
    assert not state.up_to_date


async def test_there_is_one_organization_row_and_never_a_second(database: Database) -> None:
    async with database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(organization))).scalar_one() == 1
