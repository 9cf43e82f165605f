"""The models the sandbox sells, how each answers, and what it charges. Prices: the relay's own documents."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from .records import POINTS_PER_SITE_DOLLAR, Operation, Profile

Family = Literal["gpt", "ark", "imagen", "flux"]

SIZE_FACTORS = {
    "256x256": Fraction("0.4"),
    "512x512": Fraction("0.45"),
    "1024x1792": Fraction(2),
    "1792x1024": Fraction(2),
}


@dataclass(frozen=True, slots=True)
class Model:
    """`price` is in site dollars per image; `counted`: profile N bills what came back, not what was asked."""

    name: str
    family: Family
    price: Fraction
    owned_by: str
    latency_s: float
    operations: tuple[Operation, ...] = ("generation",)
    built_in: bool = False

    @property
    def counted(self) -> bool:
        return self.family in ("gpt", "ark")


MODELS = {
    model.name: model
    for model in (
        Model("gpt-image-1", "gpt", Fraction(1), "openai", 1.6, ("generation", "edit"), built_in=True),
        Model("seedream-3.0", "ark", Fraction("0.08"), "volcengine", 1.0),
        Model("imagen4", "imagen", Fraction("0.20"), "vertex-ai", 1.2),
        Model("flux-kontext-pro", "flux", Fraction("0.20"), "custom", 1.2, ("generation", "edit")),
        Model("flux-kontext-max", "flux", Fraction("0.40"), "custom", 1.8, ("generation", "edit")),
    )
}


def charge_points(model: Model, profile: Profile, *, n: int, images: int, size: str) -> int:
    """What a call costs in quota points. C multiplies by a size factor for every model; N bills at least one image."""
    if profile == "C":
        count, factor = n, SIZE_FACTORS.get(size, Fraction(1))
    else:
        count, factor = (max(1, images) if model.counted else n), Fraction(1)
    return int(model.price * POINTS_PER_SITE_DOLLAR * factor * count)
