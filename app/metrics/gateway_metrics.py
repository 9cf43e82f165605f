"""Gauges of the book, of the relay and of this process.

Chores read the book and ask the relay at intervals, so that a scrape reads memory only, however often it comes.
"""

import asyncio
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app import __version__
from app.chores import Chore, Chores, WhenFit
from app.control.readiness import Readiness
from app.control.reconciliations import Reconciliations
from app.control.relay_conditions import RelayConditions
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError, GatewayError
from app.images.service import ImageService
from app.pictures.thumbnails import Thumbnails
from app.store.ledger.columns import UNRESOLVED
from app.store.pictures import PictureRows
from app.store.schema import schema_state
from app.store.unresolved import sum_unresolved
from app.upstream.billing import read_account
from app.upstream.probe import models

BOOK_EVERY_S = 15.0
RELAY_EVERY_S = 60.0
SLOW_EVERY_S = 300.0
"""Time between two readings of the balance, of the schema, and of the sum of all pictures, which reads every row."""
DELAY_PROBE_S = 0.5
DELAY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
GOOD_RATES = ("memory", "redis")


class GatewayMetrics:
    """Gauges that `chores` refresh, and after `watch` those of the parts of this process."""

    def __init__(self, registry: CollectorRegistry, reconciliations: Reconciliations):
        self._registry, self._reconciliations = registry, reconciliations
        self._readiness: Callable[[], Awaitable[Readiness]] | None = None
        self._relays = {DEFAULT_RELAY}
        self._open = self._gauge("open_requests", "Requests that are not settled or released.", "relay", "state")
        self._held = self._gauge("open_held_micros", "Money that these requests hold.", "relay", "state")
        self._oldest = self._gauge("open_oldest_seconds", "Age of the oldest of these requests.", "relay", "state")
        day = "on the newest day that both have whole."
        self._booked = self._gauge("drift_booked_micros", f"Cost in the book {day}", "relay")
        self._billed = self._gauge("drift_billed_micros", f"Cost in the relay's log {day}", "relay")
        self._up = self._gauge("relay_up", "1 when the relay listed its models to our key last time.", "relay")
        self._balance = self._gauge(
            "relay_balance_micros", "Money left to our key; NaN where the relay does not say.", "relay"
        )
        self._check = self._gauge("check_ok", "1 for each check of /readyz that is well.", "check")
        self._backup_age = self._gauge(
            "backup_age_seconds", "Time since the last good backup began; NaN before the first one."
        )
        self._pictures = self._gauge("pictures", "Kept pictures.")
        self._picture_bytes = self._gauge("pictures_bytes", "Bytes of kept pictures and their thumbnails.")
        self._schema = self._gauge("schema_version", "Version of the database's schema.")
        self._newest_schema = self._gauge("schema_version_newest", "Newest schema that this program knows.")
        self._delay = Histogram(
            "imagegate_event_loop_delay_seconds",
            "Time by which the event loop woke up late.",
            buckets=DELAY_BUCKETS_S,
            registry=registry,
        )
        for gauge, value in ((self._booked, 0), (self._billed, 0), (self._up, 0), (self._balance, math.nan)):
            gauge.labels(DEFAULT_RELAY).set(value)
        self._compared: set[str] = set()
        """Relays that have a closed day of drift."""
        self._asked = {DEFAULT_RELAY}
        """Relays whose gauges `_up` and `_balance` are there."""

    def watch(
        self,
        service: ImageService,
        chores: Chores,
        thumbnails: Thumbnails,
        readiness: Callable[[], Awaitable[Readiness]],
        relays: RelayConditions,
        data_dir: Path,
        facts: dict[str, str],
    ) -> None:
        """Take the gauges of these parts at each scrape. `facts` are labels of `imagegate_build_info`."""
        self._readiness = readiness
        self._gauge("in_flight", "Image requests that this process works on.").set_function(lambda: service.in_flight)
        self._gauge("thumbnails_waiting", "Pictures whose thumbnails are to be made.").set_function(
            lambda: thumbnails.waiting
        )
        self._gauge("disk_free_bytes", "Free bytes on the disk of DATA_DIR.").set_function(
            lambda: shutil.disk_usage(data_dir).free
        )
        Info("imagegate_build", "This program.", registry=self._registry).info({"version": __version__, **facts})
        self._registry.register(ChoreCollector(chores))
        self._registry.register(RelayCollector(relays))

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        yield Chore("metrics of the book", when_fit(self.read_book), BOOK_EVERY_S, first_after_s=0)
        yield Chore("metrics of the checks", self.read_checks, BOOK_EVERY_S, first_after_s=0)
        yield Chore("metrics of the relay", when_fit(self.ask_relays), RELAY_EVERY_S, first_after_s=0)
        yield Chore("metrics of the balance", when_fit(self.ask_balances), SLOW_EVERY_S, first_after_s=0)
        yield Chore("metrics of pictures and schema", when_fit(self.read_slow), SLOW_EVERY_S, first_after_s=2.0)
        yield Chore("metrics of the event loop", self.measure_delay, DELAY_PROBE_S)

    async def read_book(self) -> None:
        """Read the open requests and the drift. Raises StoreUnavailable."""
        database = self._reconciliations.database
        now_ms = await database.now_ms()
        sums = {(found.relay, found.state): found for found in await sum_unresolved(database)}
        self._relays |= {relay for relay, _ in sums}
        for relay in self._relays:
            for state in UNRESOLVED:
                found = sums.get((relay, state))
                self._open.labels(relay, state).set(found.requests if found else 0)  # What is gone now is 0.
                self._held.labels(relay, state).set(found.held_micros if found else 0)
                self._oldest.labels(relay, state).set((now_ms - found.oldest_at_ms) / 1000 if found else 0)
        closed = [day for day in await self._reconciliations.drift_by_day(now_ms) if day.closed]
        newest_days = {day.relay: day for day in reversed(closed)}
        for gone in self._compared - newest_days.keys():
            for gauge in (self._booked, self._billed):
                gauge.remove(gone)
        self._compared = set(newest_days)
        for newest in newest_days.values():
            self._booked.labels(newest.relay).set(newest.booked_micros)
            self._billed.labels(newest.relay).set(newest.billed_micros)

    async def read_checks(self) -> None:
        assert self._readiness is not None
        readiness = await self._readiness()
        for name, found in readiness.checks.items():
            self._check.labels(name).set(found == "ok" or (name == "rates" and found in GOOD_RATES))
        ago_s = readiness.last_backup_s_ago
        self._backup_age.set(math.nan if ago_s is None else ago_s)

    async def ask_relays(self) -> None:
        """Ask each relay for its models, which is free. Raises StoreUnavailable."""
        await asyncio.gather(*(self._ask_models(relay) for relay in await self._relays_in_use()))

    async def ask_balances(self) -> None:
        """Ask each relay what is left to our key. Raises StoreUnavailable."""
        await asyncio.gather(*(self._ask_balance(relay) for relay in await self._relays_in_use()))

    async def _relays_in_use(self) -> list[Relay]:
        """List the relays that get requests; the gauges of the others go."""
        relays = [relay for relay in await self._reconciliations.relays() if relay.is_in_use]
        for gone in self._asked - {relay.name for relay in relays}:
            for gauge in (self._up, self._balance):
                gauge.remove(gone)
        self._asked = {relay.name for relay in relays}
        for name in self._asked:
            self._up.labels(name), self._balance.labels(name)
        return relays

    async def _ask_models(self, relay: Relay) -> None:
        try:
            await models(self._reconciliations.bills.relays.client(relay))
            is_up = True
        except (GatewayError, ConfigurationError):
            is_up = False
        if relay.name in self._asked:
            self._up.labels(relay.name).set(is_up)

    async def _ask_balance(self, relay: Relay) -> None:
        bills, left = self._reconciliations.bills, math.nan
        with suppress(ConfigurationError):
            found = bills.left_micros(relay, await read_account(bills.relays.client(relay)))
            left = math.nan if found is None else found
        if relay.name in self._asked:
            self._balance.labels(relay.name).set(left)

    async def read_slow(self) -> None:
        """Read the version of the schema and the sums over all pictures. Raises StoreUnavailable."""
        database = self._reconciliations.database
        rows, schema = PictureRows(database), await schema_state(database)
        self._schema.set(int(schema.current or 0))
        self._newest_schema.set(int(schema.newest))
        self._pictures.set(await rows.count())
        self._picture_bytes.set(await rows.total_bytes())

    async def measure_delay(self) -> None:
        started_s = time.perf_counter()
        await asyncio.sleep(DELAY_PROBE_S)
        self._delay.observe(max(0.0, time.perf_counter() - started_s - DELAY_PROBE_S))

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"imagegate_{name}", help_text, labels, registry=self._registry)


class ChoreCollector(Collector):
    """Collector of the states of background jobs, taken at each scrape."""

    def __init__(self, chores: Chores):
        self._chores = chores

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the time of the last success (Unix seconds), and whether the last turn failed."""
        succeeded = GaugeMetricFamily(
            "imagegate_chore_last_success_timestamp_seconds",
            "End of the last successful turn of a background job. Jobs that wait for work end none meanwhile.",
            labels=["chore"],
        )
        failing = GaugeMetricFamily(
            "imagegate_chore_failing", "1 when the last turn of a background job failed.", labels=["chore"]
        )
        for name, state in self._chores.states.items():
            if state.succeeded_at_s is not None:
                succeeded.add_metric([name], time.time() - (time.monotonic() - state.succeeded_at_s))
            failing.add_metric([name], state.error is not None)
        yield succeeded
        yield failing


class RelayCollector(Collector):
    """Collector of the breakers and the requests of the relays in use, taken from memory at each scrape."""

    def __init__(self, relays: RelayConditions):
        self._relays = relays

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of each relay, and the length of the queue before all of them."""
        is_open = GaugeMetricFamily(
            "imagegate_relay_breaker_open",
            "1 while the breaker of a relay is not closed: open, or waiting for the request that proves the relay well.",
            labels=["relay"],
        )
        in_flight = GaugeMetricFamily(
            "imagegate_relay_in_flight", "Requests of this process that a relay works on.", labels=["relay"]
        )
        for each in self._relays.last():
            is_open.add_metric([each.name], each.state != "closed")
            in_flight.add_metric([each.name], each.in_flight)
        queue = "Requests of this process that wait for a place at a relay."
        yield from (is_open, in_flight, GaugeMetricFamily("imagegate_relay_queue", queue, self._relays.pool.waiting))
