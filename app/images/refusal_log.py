"""Recorder of refusals: a listener that queues them for the log of refusals, and chores that write and prune it."""

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

import structlog

from app.core.endings import RequestEnded, RequestRefused
from app.core.intervals import DAY_MS, MINUTE_MS
from app.errors import StorageFull, StoreUnavailable
from app.store.clock import Clock
from app.store.refusals import KEEP_DAYS, Refusal, RefusalRows
from app.upstream.redaction import clean_message

BATCH = 500
MODEL_CHARS_MAX = 100
log = structlog.get_logger()

Group = tuple[str, str, str | None, str | None, str | None]
"""API key, operation, error code, model and limit: refusals that are equal in these are folded."""


@dataclass(frozen=True, slots=True)
class RefusalBounds:
    """Bounds of the log of refusals. Of equal refusals of one key in a minute, `rows_per_minute` have rows of their own and the
    others share one. Beyond `groups_max` groups of one key in a minute the model no longer distinguishes them, because a client
    can name any model. At most `queued_max` rows wait to be written."""

    rows_per_minute: int = 10
    groups_max: int = 50
    queued_max: int = 5000
    keep_days: int = KEEP_DAYS
    rows_max: int = 1_000_000


@dataclass(slots=True)
class _Equal:
    """Equal refusals of one key in the current minute; `folded` is the row that all beyond the first few share."""

    model: str | None
    seen: int = 0
    folded: Refusal | None = None


@dataclass(slots=True)
class RefusalLog:
    """Recorder of refusals in this process. `dropped` counts those that found the queue full; they are not recorded."""

    rows: RefusalRows
    clock: Clock
    bounds: RefusalBounds = field(default_factory=RefusalBounds)
    dropped: int = 0
    _queue: dict[str, Refusal] = field(default_factory=dict)
    _minute: int = 0
    _equals: dict[Group, _Equal] = field(default_factory=dict)
    _groups_of_key: Counter[str] = field(default_factory=Counter)

    def hear(self, event: RequestEnded | RequestRefused) -> None:
        """Queue a refusal. This is a listener: it never waits."""
        if isinstance(event, RequestEnded):
            return
        now_ms = self.clock.now_ms()
        self._begin_minute(now_ms // MINUTE_MS)
        equal = self._equal_to(event)
        equal.seen += 1
        if equal.folded is None:
            refusal = _refusal(event, equal.model, now_ms)
            equal.folded = refusal if equal.seen > self.bounds.rows_per_minute else None
        else:
            refusal = equal.folded
            refusal.count += 1
            refusal.last_at_ms = now_ms
        if refusal.id in self._queue or len(self._queue) < self.bounds.queued_max:
            self._queue[refusal.id] = refusal
        else:
            self.dropped += 1

    async def write(self) -> None:
        """Write the queued refusals in batches. Raises StoreUnavailable or StorageFull; the queue is kept then."""
        if self.dropped:
            log.warning("refusals were not recorded, too many came at once", count=self.dropped)
            self.dropped = 0
        for _ in range(0, len(self._queue), BATCH):
            batch = [replace(refusal) for refusal in itertools.islice(self._queue.values(), BATCH)]
            try:
                await self.rows.write(batch)
            except (StoreUnavailable, StorageFull):
                raise
            except Exception:  # A batch that the database does not take would block all later ones.
                self._forget(batch)
                raise
            self._forget(batch)

    async def prune(self) -> None:
        """Delete refusals that are too old or too many. Raises StoreUnavailable."""
        before_ms = self.clock.now_ms() - self.bounds.keep_days * DAY_MS
        await self.rows.prune(before_ms, self.bounds.rows_max)

    def _forget(self, written: list[Refusal]) -> None:
        """Take written refusals off the queue; those counted up meanwhile go to its end, to be written again."""
        for refusal in written:
            queued = self._queue.pop(refusal.id, None)
            if queued is not None and queued.count != refusal.count:
                self._queue[refusal.id] = queued

    def _begin_minute(self, minute: int) -> None:
        if minute != self._minute:
            self._minute = minute
            self._equals.clear()
            self._groups_of_key.clear()

    def _equal_to(self, event: RequestRefused) -> _Equal:
        """Return the refusals equal to this one; their model does not count when the key has too many groups."""
        key_id, model = event.api_key_id, None if event.model is None else event.model[:MODEL_CHARS_MAX]
        group = (key_id, event.operation, event.code, model, event.limit)
        if group not in self._equals and self._groups_of_key[key_id] >= self.bounds.groups_max:
            model, group = None, (key_id, event.operation, event.code, None, event.limit)
        if group not in self._equals:
            self._groups_of_key[key_id] += 1
            self._equals[group] = _Equal(model)
        return self._equals[group]


def _refusal(event: RequestRefused, model: str | None, now_ms: int) -> Refusal:
    return Refusal(
        id=event.request_id,
        at_ms=now_ms,
        last_at_ms=now_ms,
        count=1,
        api_key_id=event.api_key_id,
        user_id=event.user_id,
        project_id=event.project_id,
        operation=event.operation,
        model=None if model is None else _model_name(model),
        http_status=event.status,
        error_code=event.code,
        limit=event.limit,
        message=clean_message(event.message),
    )


def _model_name(model: str) -> str:
    """Return the client's name of a model without control characters, which PostgreSQL does not take, and without a pasted key."""
    name = "".join(char if char.isprintable() else " " for char in model)
    return clean_message(name) if "sk-" in name else name
