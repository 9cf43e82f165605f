"""Usual time of each model, from the newest requests in the book."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median_low

import sqlalchemy as sa

from app.store.engine import Database
from app.store.tables import requests

NEWEST_MAX = 400
ANSWERS_MIN = 3
"""Fewer answers of a model say nothing about the next one."""
FRESH_MS = 60_000


@dataclass(slots=True)
class UsualTimes:
    """Median time from dispatch to the last byte (ms) of each model, among the newest requests of all models. Read once a minute at
    most."""

    _by_model: dict[str, int] = field(default_factory=dict)
    _read_at_ms: int | None = None

    async def of(self, database: Database, model: str, now_ms: int) -> int | None:
        """Return the usual time of a model; None where too few of its answers are known. Raises StoreUnavailable."""
        if self._read_at_ms is None or now_ms - self._read_at_ms >= FRESH_MS:
            self._by_model, self._read_at_ms = await usual_times(database), now_ms
        return self._by_model.get(model)


async def usual_times(database: Database) -> dict[str, int]:
    """Read the usual times (ms) by model. Raises StoreUnavailable."""
    columns = (requests.c.model, requests.c.upstream_ms, requests.c.state)
    newest = sa.select(*columns).order_by(requests.c.reserved_at_ms.desc()).limit(NEWEST_MAX)
    by_model: defaultdict[str, list[int]] = defaultdict(list)
    async with database.read() as connection:
        for model, took_ms, state in await connection.execute(newest):
            if state == "settled" and took_ms is not None:
                by_model[model].append(took_ms)
    return {model: median_low(times) for model, times in by_model.items() if len(times) >= ANSWERS_MIN}
