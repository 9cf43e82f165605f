"""Form for a price, and what a month would have cost by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from app.console.language import marked as _
from app.control.price_files import PER_IMAGE, PER_TOKEN, amount_of
from app.control.prices import PriceEntry
from app.control.usage import UsageReport
from app.core.catalog import Model
from app.core.pricing import Facts, PerImage, Price, PriceBook
from app.core.request import Operation
from app.errors import InvalidValue

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
FIELDS = ("model", "operation", "size", "quality", "from", PER_IMAGE, *PER_TOKEN)
SIMULATED_DAYS = 30


@dataclass(frozen=True, slots=True)
class PriceForm:
    """Fields of the form as they were sent; an empty operation, size or quality stands for any, an empty `from` for now."""

    given: Mapping[str, str]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "PriceForm":
        """Make the form from the fields of an address or a form."""
        return cls({name: fields[name][:128] for name in FIELDS if fields.get(name)})

    def get(self, name: str) -> str:
        return self.given.get(name, "")

    @property
    def is_filled(self) -> bool:
        return any(self.given.get(name) for name in (PER_IMAGE, *PER_TOKEN))

    def entry(self) -> PriceEntry:
        """Return the price to set. Raises InvalidValue."""
        if not self.is_filled:
            raise InvalidValue(_("Write what one picture costs, like 0.08."), param=PER_IMAGE)
        named = {name: self.given.get(name) for name in ("operation", "size", "quality")}
        return PriceEntry(self.get("model"), amount_of(self.given), **named, starts=self.given.get("from"))


@dataclass(frozen=True, slots=True)
class PriceSimulation:
    """Cost of what was bought of a model in the last SIMULATED_DAYS, and what it would have been. `images` are those that the new
    price would have decided."""

    images: int
    booked_micros: int
    would_be_micros: int


def simulate(model: Model, wanted: PriceEntry, used: UsageReport, now_ms: int) -> PriceSimulation | None:
    """Reckon usage by operation, size and quality anew with a price. What it does not decide keeps its cost. None for a price by
    tokens, whose cost depends on each request."""
    if not isinstance(wanted.amount, PerImage):
        return None
    operation = next((name for name in OPERATIONS if name == wanted.operation), None)
    newest = max((price.id for price in model.prices.prices), default=0) + 1
    price = Price(newest, model.id, operation, wanted.size, wanted.quality, now_ms, wanted.amount)
    book = PriceBook((*model.prices.prices, price))
    images = booked = would_be = 0
    for row in used.rows:
        facts = _facts([id for _, id in row.names])
        decides = (found := book.price_of(facts, now_ms)) is not None and found.id == newest
        images += row.sums.images if decides else 0
        booked += row.sums.cost_micros
        would_be += wanted.amount.micros * row.sums.images if decides else row.sums.cost_micros
    return PriceSimulation(images, booked, would_be)


def _facts(names: Sequence[str]) -> Facts:
    """Return the facts of a group by operation, size and quality."""
    operation: Operation = next((each for each in OPERATIONS if each == names[0]), "generation")
    return Facts(operation, names[1] or None, names[2] or None)
