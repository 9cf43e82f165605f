"""Models of the sandbox: form of their answers, and prices from the relay's documents."""

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
class SandboxModel:
    """Model of the sandbox. `price` is in site dollars per image; profile N bills a `counted` one by images returned."""

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
        SandboxModel("gpt-image-1", "gpt", Fraction(1), "openai", 1.6, ("generation", "edit"), built_in=True),
        SandboxModel("seedream-3.0", "ark", Fraction("0.08"), "volcengine", 1.0),
        SandboxModel("imagen4", "imagen", Fraction("0.20"), "vertex-ai", 1.2),
        SandboxModel("flux-kontext-pro", "flux", Fraction("0.20"), "custom", 1.2, ("generation", "edit")),
        SandboxModel("flux-kontext-max", "flux", Fraction("0.40"), "custom", 1.8, ("generation", "edit")),
    )
}


def charge_points(model: SandboxModel, profile: Profile, *, n: int, images: int, size: str) -> int:
    """Cost of a call in quota points. Profile C multiplies by a size factor for every model; N bills at least one image."""
    if profile == "C":
        count, factor = n, SIZE_FACTORS.get(size, Fraction(1))
    else:
        count, factor = (max(1, images) if model.counted else n), Fraction(1)
    return int(model.price * POINTS_PER_SITE_DOLLAR * factor * count)
