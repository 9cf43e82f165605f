"""Checks of the relays in use, and of the catalog against what they offer."""

import asyncio
import re
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.control.bill_reader import BillReader
from app.control.findings import Finding
from app.control.prices import list_prices
from app.core.catalog import Catalog
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError, GatewayError
from app.store import prices
from app.store.engine import Database
from app.upstream.billing import RelayDataError, why_no_log
from app.upstream.client import HttpUpstream
from app.upstream.pricing import TokenPrices, read_prices
from app.upstream.probe import models

PRICES_TIMEOUT_S = 5.0
CATALOG_TIMEOUT_S = 10.0
OFFERS_MAX = 10
"""Most models named that the relay sells and the catalog lacks."""
_IMAGE_MODEL = re.compile(r"image|dall-e|flux|seedream|imagen|diffusion|ideogram|recraft|kolors", re.IGNORECASE)
"""Parts of the names of image models: a relay's list also holds hundreds of models that draw nothing."""


@dataclass(frozen=True, slots=True)
class AskedRelay:
    """Relay in use with what it answered: `offered` are its models, none where that is unknown."""

    relay: Relay
    findings: tuple[Finding, ...]
    offered: Sequence[str] = ()
    client: HttpUpstream | None = None


@dataclass(frozen=True, slots=True)
class AskedRelays:
    """All relays in use. `findings` are those about none of them."""

    asked: Sequence[AskedRelay]
    findings: tuple[Finding, ...] = ()

    def all_findings(self) -> list[Finding]:
        return [*self.findings, *(finding for each in self.asked for finding in each.findings)]

    def lack(self, model: str) -> bool:
        """Return whether every relay that gets requests for a model has told that it does not offer it."""
        serving = [each for each in self.asked if each.relay.serves(model)]
        return bool(self.asked) and all(each.offered and model not in each.offered for each in serving)


@dataclass(frozen=True, slots=True)
class RelayChecks:
    """Checks of all relays. `bills` is a finding where none can be asked. `has_key`: the settings hold the key of `default`."""

    bills: BillReader | Finding
    has_key: bool

    async def ask(self, database: Database | None) -> AskedRelays:
        """Ask every relay in use; without a database that can be read, the one of the settings."""
        if isinstance(self.bills, Finding):
            return AskedRelays((), (self.bills,))
        catalog = await _catalog(database)
        used = [relay for relay in catalog.relays.values() if relay.is_in_use]
        if not used:
            message = "None is in use: every request is refused. Let one get them with: `imagegate relays enable NAME`"
            return AskedRelays((), (Finding("relay", "failed", message),))
        priced = [model.id for model in catalog.models.values() if model.is_priced_at(time.time_ns() // 1_000_000)]
        served = {relay.name: [model for model in priced if len(used) > 1 and relay.serves(model)] for relay in used}
        return AskedRelays(await asyncio.gather(*(self._ask(self.bills, each, served[each.name]) for each in used)))

    async def _ask(self, bills: BillReader, relay: Relay, served: Sequence[str]) -> AskedRelay:
        """Ask a relay for its models, among which those `served` should be, and for its log."""
        is_default = relay.name == DEFAULT_RELAY
        check, log_check = (
            ("relay", "relay log") if is_default else (f"relay {relay.name}", f"log of relay {relay.name}")
        )
        if is_default and not self.has_key:
            return AskedRelay(relay, (Finding(check, "failed", NO_KEY),))
        started_s = time.monotonic()
        try:
            client, url_key = bills.relays.client(relay), bills.url_key(relay)
            offered = await models(client)
        except (GatewayError, ConfigurationError) as exc:
            return AskedRelay(relay, (Finding(check, "failed", str(exc)),))
        took_ms = round((time.monotonic() - started_s) * 1000)
        told = f"{client.base_url} took {took_ms} ms to list {len(offered)} models."
        found = _offer_finding(check, told, relay, served, offered)
        return AskedRelay(relay, (found, await _check_log(log_check, client, url_key)), offered, client)


NO_KEY = "There is no key for it. Set IMAGEGATE_UPSTREAM_API_KEY, or try the sandbox: `imagegate serve --sandbox`"


async def _catalog(database: Database | None) -> Catalog:
    """Read the catalog; an empty one with the relay of the settings where it cannot be read, which another check tells."""
    if database is not None:
        with suppress(Exception):
            async with asyncio.timeout(CATALOG_TIMEOUT_S), database.read() as connection:
                return await prices.read_catalog(connection)
    return Catalog({})


def _offer_finding(check: str, told: str, relay: Relay, served: Sequence[str], offered: Sequence[str]) -> Finding:
    missing = [model for model in served if model not in offered]
    if not missing:
        return Finding(check, "ok", told)
    there = ",".join(model for model in served if model in offered)
    cure = f"`imagegate relays disable {relay.name}`"
    if there:
        cure = f"`imagegate relays set {relay.name} --models {shlex.quote(there)}`"
    lacks = f"{told} It does not offer {', '.join(missing)}, and gets requests for them. Let it get others only: {cure}"
    return Finding(check, "warning", lacks)


async def _check_log(check: str, client: HttpUpstream, url_key: str | None) -> Finding:
    if missing := await why_no_log(client, url_key):
        return Finding(check, "warning", f"{missing}. Until then `imagegate requests` settles them by hand.")
    return Finding(check, "ok", "The relay shows its charges: `imagegate reconcile` compares them.")


async def check_models(database: Database, relays: AskedRelays) -> Finding:
    """Tell the models, their aliases, and image models in a relay's own list of prices that the catalog lacks."""
    catalog = await database.ask(prices.read_catalog)
    names = "; ".join(f"{alias.name} stands for {alias.model}" for alias in catalog.aliases) or "no aliases"
    message = f"{', '.join(catalog.models)}; {names}. Add another name with: `imagegate models alias NAME MODEL`"
    if hidden := [alias.name for alias in catalog.aliases if alias.name in catalog.models]:
        cure = f"`imagegate models alias {shlex.quote(hidden[0])} --remove`"
        return Finding("models", "warning", f"A model of the same name hides {', '.join(hidden)}. Remove it: {cure}")
    for each in relays.asked:
        priced = await _priced_by(each)
        if more := {name: how for name, how in priced.items() if name not in catalog.models}:
            named = list(more)[:OFFERS_MAX]
            listed = ", ".join(named) + (f" and {len(more) - OFFERS_MAX} more" * (len(more) > OFFERS_MAX))
            sync = _sync(each.relay, named, more)
            if each.relay.name == DEFAULT_RELAY:
                message += f". The relay also sells {listed}; price them as the relay does with: {sync}"
            else:
                message += f". Relay {each.relay.name} also sells {listed}; price them as the relay does with: {sync}"
            break
    return Finding("models", "ok", message)


async def _priced_by(asked: AskedRelay) -> dict[str, bool]:
    """List image models that a relay offers and publishes a price of; True where that is by tokens."""
    if asked.client is None or not asked.offered:
        return {}
    try:
        published = (await read_prices(asked.client, "default", 1, PRICES_TIMEOUT_S)).models
    except RelayDataError:
        return {}
    names = [name for name in asked.offered if name in published and _IMAGE_MODEL.search(name)]
    return {name: isinstance(published[name], TokenPrices) for name in names}


async def check_prices(database: Database, relays: AskedRelays) -> Finding:
    """Check that every model of the catalog has a price, and that a relay that gets requests for it offers it."""
    listed = await list_prices(database)
    priced = dict.fromkeys(row.model for row in listed if row.in_force)
    wrong = []
    if unpriced := [model for model in dict.fromkeys(row.model for row in listed) if model not in priced]:
        cure = f"`imagegate prices set {shlex.quote(unpriced[0])} --per-image AMOUNT`"
        wrong.append(f"None yet, so refused: {', '.join(unpriced)}. Price one with: {cure}")
    if missing := [model for model in priced if relays.lack(model)]:
        cure = f"Ask its operator, or take it out with: `imagegate models remove {shlex.quote(missing[0])}`"
        if len(relays.asked) == 1:
            wrong.append(f"The relay does not offer to this gateway's key: {', '.join(missing)}. {cure}")
        else:
            wrong.append(f"No relay that is in use offers: {', '.join(missing)}. {cure}")
    if wrong:
        return Finding("prices", "warning", " ".join(wrong))
    return Finding("prices", "ok", f"Every model of the catalog has one: {', '.join(priced)}.")


def _sync(relay: Relay, names: Sequence[str], by_tokens: dict[str, bool]) -> str:
    """Return the command that prices these models, and no other, as the relay does."""
    options = "".join(f" --model {shlex.quote(name)}" for name in names)
    ceiling = " --ceiling-per-image AMOUNT" * any(by_tokens[name] for name in names)
    named = f" --relay {relay.name}" * (relay.name != DEFAULT_RELAY)
    return f"`imagegate prices sync{named} --only{options}{ceiling} --apply`"
