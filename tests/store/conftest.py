from collections.abc import AsyncIterator

import pytest

from app.store.engine import Database
from tests.store.purchasing import Desk, open_ledger


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with open_ledger(database) as ledger:
        yield Desk(database, ledger)
