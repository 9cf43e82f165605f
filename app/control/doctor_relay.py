"""Checks of the relay, and of the catalog against what the relay offers."""

import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.control.findings import Finding
from app.control.prices import list_prices
from app.errors import GatewayError
from app.store import prices
from app.store.engine import Database
from app.upstream.billing import RelayDataError, why_no_log
from app.upstream.client import HttpUpstream
from app.upstream.pricing import TokenPrices, read_prices
from app.upstream.probe import models

PRICES_TIMEOUT_S = 5.0
OFFERS_MAX = 10
"""Most models named that the relay sells and the catalog lacks."""
_IMAGE_MODEL = re.compile(r"image|dall-e|flux|seedream|imagen|diffusion|ideogram|recraft|kolors", re.IGNORECASE)
"""Parts of the names of image models: a relay's list also holds hundreds of models that draw nothing."""


@dataclass(frozen=True, slots=True)
class RelayChecks:
    """Checks of one relay, which is a finding where none is configured. `url_key` is its key where it may be sent in an address."""

    relay: HttpUpstream | Finding
    url_key: str | None

    async def check_relay(self) -> tuple[Finding, Sequence[str]]:
        """Check the relay; returns the models it offers too, none where it does not answer."""
        if isinstance(self.relay, Finding):
            return self.relay, ()
        started_s = time.monotonic()
        try:
            offered = await models(self.relay)
        except GatewayError as exc:
            return Finding("relay", "failed", exc.message), ()
        took_ms = round((time.monotonic() - started_s) * 1000)
        message = f"{self.relay.base_url} took {took_ms} ms to list {len(offered)} models."
        return Finding("relay", "ok", message), offered

    async def check_log(self) -> list[Finding]:
        """Check whether the relay shows its charges. Without a relay there is no finding."""
        if isinstance(self.relay, Finding):
            return []
        if missing := await why_no_log(self.relay, self.url_key):
            message = f"{missing}. Until then `imagegate requests` settles them by hand."
            return [Finding("relay log", "warning", message)]
        return [Finding("relay log", "ok", "The relay shows its charges: `imagegate reconcile` compares them.")]

    async def check_models(self, database: Database, offered: Sequence[str]) -> Finding:
        """Tell the models, their aliases, and image models in the relay's own list of prices that the catalog lacks."""
        async with database.read() as connection:
            catalog = await prices.catalog(connection)
        names = "; ".join(f"{alias.name} stands for {alias.model}" for alias in catalog.aliases) or "no aliases"
        message = f"{', '.join(catalog.models)}; {names}. Add another name with: `imagegate models alias NAME MODEL`"
        if hidden := [alias.name for alias in catalog.aliases if alias.name in catalog.models]:
            cure = f"`imagegate models alias {shlex.quote(hidden[0])} --remove`"
            return Finding(
                "models", "warning", f"A model of the same name hides {', '.join(hidden)}. Remove it: {cure}"
            )
        if more := {
            name: how for name, how in (await self._priced_by_relay(offered)).items() if name not in catalog.models
        }:
            named = list(more)[:OFFERS_MAX]
            listed = ", ".join(named) + (f" and {len(more) - OFFERS_MAX} more" * (len(more) > OFFERS_MAX))
            message += f". The relay also sells {listed}; price them as the relay does with: {_sync(named, more)}"
        return Finding("models", "ok", message)

    async def _priced_by_relay(self, offered: Sequence[str]) -> dict[str, bool]:
        """List image models of `offered` that the relay publishes a price of; True where that is by tokens."""
        if isinstance(self.relay, Finding) or not offered:
            return {}
        try:
            published = (await read_prices(self.relay, "default", 1, PRICES_TIMEOUT_S)).models
        except RelayDataError:
            return {}
        names = [name for name in offered if name in published and _IMAGE_MODEL.search(name)]
        return {name: isinstance(published[name], TokenPrices) for name in names}


async def check_prices(database: Database, offered: Sequence[str]) -> Finding:
    """Check that every model of the catalog has a price, and that the relay offers it; `offered` is empty where that is unknown."""
    listed = await list_prices(database)
    priced = dict.fromkeys(row.model for row in listed if row.in_force)
    wrong = []
    if unpriced := [model for model in dict.fromkeys(row.model for row in listed) if model not in priced]:
        cure = f"`imagegate prices set {shlex.quote(unpriced[0])} --per-image AMOUNT`"
        wrong.append(f"None yet, so refused: {', '.join(unpriced)}. Price one with: {cure}")
    if missing := [model for model in priced if offered and model not in offered]:
        cure = f"Ask its operator, or take it out with: `imagegate models remove {shlex.quote(missing[0])}`"
        wrong.append(f"The relay does not offer to this gateway's key: {', '.join(missing)}. {cure}")
    if wrong:
        return Finding("prices", "warning", " ".join(wrong))
    return Finding("prices", "ok", f"Every model of the catalog has one: {', '.join(priced)}.")


def _sync(names: Sequence[str], by_tokens: dict[str, bool]) -> str:
    """Return the command that prices these models, and no other, as the relay does."""
    options = "".join(f" --model {shlex.quote(name)}" for name in names)
    ceiling = " --ceiling-per-image AMOUNT" * any(by_tokens[name] for name in names)
    return f"`imagegate prices sync --only{options}{ceiling} --apply`"
