"""The migrations build the tables the code works with, on both databases."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.store import migrations
from app.store.audit import rolled_up_differences
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.store.schema import schema_state
from app.store.tables import charges, drift, metadata, organization, usage_days, usage_hours


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


async def test_whoever_held_a_key_before_there_were_members_still_may_use_it(empty_where: DatabaseUrl) -> None:
    old = open_database(empty_where)
    async with old.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0003"))
    async with old.transaction() as connection:
        for statement in _OF_VERSION_3:
            await connection.execute(sa.text(statement))

    state = await upgrade(old)

    assert state.up_to_date
    async with old.read() as connection:
        users = (await connection.execute(sa.text("SELECT id, name, kind, role, deleted_at_ms FROM users"))).all()
        members = (await connection.execute(sa.text("SELECT project_id, user_id, role FROM project_users"))).all()
        keys = (await connection.execute(sa.text("SELECT id, user_id FROM api_keys ORDER BY id"))).all()
    await old.close()
    assert [*map(tuple, users)] == [("user-1", "lin", "person", "reader", None)]
    assert [*map(tuple, members)] == [("proj_default", "user-1", "member")]
    assert [*map(tuple, keys)] == [("key_1", "user-1"), ("key_2", "user-1")]


_OF_VERSION_3 = (
    "INSERT INTO users (id, name, created_at_ms) VALUES ('user-1', 'lin', 5)",
    "INSERT INTO api_keys (id, user_id, project_id, name, secret_hmac, last_four, created_at_ms) "
    "VALUES ('key_1', 'user-1', 'proj_default', 'a', '', 'wxyz', 7), ('key_2', 'user-1', 'proj_default', 'b', '', 'wxyz', 6)",
)


async def test_after_an_upgrade_no_row_may_refer_to_what_is_not_there(empty_where: DatabaseUrl) -> None:
    opened = open_database(empty_where)
    await upgrade(opened)

    with pytest.raises(sa.exc.IntegrityError):
        async with opened.transaction() as connection:
            await connection.execute(
                sa.text(
                    "INSERT INTO project_users (project_id, user_id, role, added_at_ms) VALUES ('proj_default', 'x', 'member', 1)"
                )
            )
    await opened.close()


async def test_alembic_names_the_same_version(database: Database) -> None:
    script = ScriptDirectory.from_config(migrations._config())

    state = await schema_state(database)

    async with database.read() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    assert (state.newest, state.current) == (script.get_current_head(), current)


async def test_usage_from_before_there_were_roll_ups_for_reports_is_in_them(empty_where: DatabaseUrl) -> None:
    old = open_database(empty_where)
    async with old.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0006"))
    async with old.transaction() as connection:
        await connection.execute(sa.text(_USAGE_OF_TWO_DAYS))

    await upgrade(old)

    async with old.read() as connection:
        days = (await connection.execute(sa.select(*usage_days.c["day_at_ms", "requests", "cost_micros"]))).all()
        hours = (await connection.execute(sa.select(*usage_hours.c["hour_at_ms", "requests", "cost_micros"]))).all()
        assert await rolled_up_differences(connection) == []
    await old.close()
    assert sorted(map(tuple, days)) == sorted(map(tuple, hours)) == [(0, 3, 30), (86_400_000, 1, 40)]


_USAGE_OF_TWO_DAYS = """
    INSERT INTO usage (hour_at_ms, day, project_id, user_id, api_key_id, model, operation, size, quality,
                       requests, images, cost_micros, input_tokens, output_tokens)
    VALUES (0, '1970-01-01', 'p', 'u', 'k', 'm', 'generation', '', '', 1, 1, 10, 0, 0),
           (0, '1970-01-01', 'p', 'u', 'k', 'm', 'generation', '', 'high', 2, 2, 20, 0, 0),
           (86400000, '1970-01-02', 'p', 'u', 'k', 'm', 'generation', '', '', 1, 1, 40, 0, 0)
"""


async def test_charges_and_drift_from_before_relays_were_recorded_are_of_the_default_one(
    empty_where: DatabaseUrl,
) -> None:
    old = open_database(empty_where)
    async with old.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0008"))
    async with old.transaction() as connection:
        for statement in _OF_VERSION_8:
            await connection.execute(sa.text(statement))

    await upgrade(old)

    async with old.read() as connection:
        found = [(await connection.execute(sa.select(table))).mappings().one() for table in (charges, drift)]
    await old.close()
    assert [row["relay"] for row in found] == ["default", "default"]
    assert (found[0]["proof"], found[0]["points"], found[1]["day"], found[1]["billed_points"]) == (
        "p",
        7,
        "1970-01-01",
        3,
    )


_OF_VERSION_8 = (
    "INSERT INTO charges (proof, request_id, points, charged_at_ms, matched_at_ms) VALUES ('p', 'req_1', 7, 1, 2)",
    "INSERT INTO drift (day, model, booked_micros, billed_micros, billed_points, measured_at_ms) "
    "VALUES ('1970-01-01', 'm', 1, 2, 3, 4)",
)
