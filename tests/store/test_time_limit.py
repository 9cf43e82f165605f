"""Time limit of reads: a statement that takes too long ends with the error that was given, and its connection goes on."""

import pytest
import sqlalchemy as sa

from app.errors import BadRequest
from app.store.engine import Database
from app.store.time_limit import time_limit

LONG = sa.text(
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT count(*) FROM c"
)
SHORT = sa.text(
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000) SELECT count(*) FROM c"
)


async def test_what_takes_too_long_is_stopped_and_nothing_else(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(BadRequest, match="too long"):
            async with database.read() as connection, time_limit(connection, 0.2, BadRequest("too long")):
                await connection.execute(LONG)

        async with database.read() as connection:
            assert (await connection.execute(SHORT)).scalar_one() == 100_000

    async with database.read() as connection, time_limit(connection, 60, BadRequest("too long")):
        assert (await connection.execute(SHORT)).scalar_one() == 100_000
