"""The price book of a gateway elsewhere. Over the API amounts are plain decimals."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from app.cli.remote.client import Client
from app.control.price_files import DocumentFormat, amount_fields, amount_of
from app.control.price_import import PriceImport, PriceStep
from app.control.prices import OPERATIONS, ListedPrice, PriceEntry
from app.core.pricing import PerImage, PerToken, Price


class Prices:
    client: Client

    async def list_prices(self) -> Sequence[ListedPrice]:
        """Every model of the catalog, in its order; the API lists what is priced."""
        catalog = (await self.client.get("models"))["data"]
        rows: defaultdict[str, list[Any]] = defaultdict(list)
        async for price in self.client.every("prices"):
            rows[price["model"]].append(price)
        return [_listed(model, price) for model in catalog for price in rows[model["id"]] or [None]]

    async def set_price(self, wanted: PriceEntry) -> ListedPrice:
        names = {name: getattr(wanted, name) for name in ("model", "operation", "size", "quality")}
        made = await self.client.post("prices", **names, **amount_fields(wanted.amount), **{"from": wanted.starts})
        with self.client.after("The price is set"):
            catalog = {model["id"]: model for model in (await self.client.get("models"))["data"]}
            return _listed(catalog[made["model"]], made)

    async def export_prices(self, format: DocumentFormat) -> str:
        return await self.client.text("prices", "export", format=format)

    async def import_prices(self, text: str, format: DocumentFormat, *, dry_run: bool) -> PriceImport:
        found = await self.client.send_text(text, f"application/{format}", "prices", "import", dry_run=dry_run)
        return PriceImport(tuple(map(_step, found["set"])), found["unchanged"], found["past"])


def _listed(model: Any, price: Any) -> ListedPrice:
    shown = None if price is None else _price(price)
    operations = tuple(operation for operation in OPERATIONS if operation in model["operations"])
    return ListedPrice(model["id"], operations, shown, price is not None and price["in_force"])


def _price(found: Any) -> Price:
    return Price(
        id=int(found["id"].removeprefix("price_")),
        model=found["model"],
        operation=found["operation"],
        size=found["size"],
        quality=found["quality"],
        from_ms=(found["starts_at"] or 0) * 1000,
        amount=_amount(found),
    )


def _step(found: Any) -> PriceStep:
    names = {name: found[name] for name in ("model", "operation", "size", "quality")}
    wanted = PriceEntry(amount=_amount(found["becomes"]), starts=found["from"], **names)
    return PriceStep(wanted, None if found["was"] is None else _amount(found["was"]))


def _amount(found: Any) -> PerImage | PerToken:
    return amount_of({name: value for name, value in found.items() if isinstance(value, str)})
