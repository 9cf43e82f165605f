"""Form for a picture from text: what people choose, and the image request it makes."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from app.console.language import marked as _
from app.core import parameters
from app.core.request import GPT_IMAGE, ImageRequest
from app.core.retry import RepeatHeaders
from app.errors import InvalidValue
from app.store.console_jobs import Job

BACKGROUNDS = ("auto", "transparent", "opaque")
OUTPUT_FORMATS = ("png", "jpeg", "webp")
COUNTS = range(1, parameters.N_MAX + 1)
FORM_BYTES_MAX = 16 * parameters.PROMPT_CHARS_MAX
"""Most bytes of the form: a long prompt, of which each character may take 12 bytes, and its other fields."""
NO_PROMPT = "-"
"""Prompt of a quote before there is one. No price depends on it."""
SEED_MAX = 2**31 - 1
OPTIONS = ("background", "output_format", "seed")
CHOICES = ("size", "quality", *OPTIONS)
"""Choices that the address keeps after a purchase, because the book has size and quality of the answer instead."""
_WRONG_SEED = _("The seed is a whole number from 0 to 2147483647. Leave it out for a random one.")


@dataclass(frozen=True, slots=True)
class CreateForm:
    """Fields of the form as they were sent; empty ones are left to the relay. `token` is its Idempotency-Key."""

    prompt: str = ""
    project: str = ""
    model: str = ""
    n: str = "1"
    size: str = ""
    quality: str = ""
    background: str = ""
    output_format: str = ""
    seed: str = ""
    token: str = ""

    @classmethod
    def from_fields(cls, given: Mapping[str, str]) -> "CreateForm":
        """Make the form from what a browser sent or an address holds."""
        known = {field.name: given[field.name] for field in fields(cls) if given.get(field.name)}
        return cls(**known | {"prompt": given.get("prompt", "").replace("\r\n", "\n")})

    @classmethod
    def from_job(cls, job: Job) -> "CreateForm":
        """Make the form that bought a job, as far as the book keeps it."""
        facts = {"size": job.size or "", "quality": job.quality or "", "prompt": job.prompt or ""}
        return cls(project=job.project_id, model=job.asked_model or job.model, n=str(job.n), **facts)

    @property
    def kept(self) -> dict[str, str]:
        """Choices for the address; `auto` is none."""
        return {name: getattr(self, name) or "auto" for name in CHOICES}

    def chosen_by(self, query: Mapping[str, str]) -> "CreateForm":
        """Return the form with the choices that an address keeps."""
        given = {name: query[name] for name in CHOICES if name in query}
        return replace(self, **{name: "" if value == "auto" else value for name, value in given.items()})

    def texts(self) -> dict[str, str]:
        """Return the fields of a request as the text of a form, without those that are left to the relay. Raises InvalidValue."""
        return {name: str(value) for name, value in self.values().items()}

    def values(self) -> dict[str, Any]:
        """Return the fields of a request as JSON, without those that are left to the relay. Raises InvalidValue for the seed."""
        names = ("model", "prompt", "n", "size", "quality", *self.options)
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name))}
        if self.n.isascii() and self.n.isdigit() and len(self.n) < 4:
            given["n"] = int(self.n)
        if "seed" in given:
            given["seed"] = self._seed()
        return given

    def renewed(self) -> "CreateForm":
        """Return the form with a token of its own, so that sending it buys anew."""
        return replace(self, token=secrets.token_urlsafe(18))

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the fields that the model knows beyond size and quality. OpenAI's models refuse `seed`."""
        return OPTIONS[:2] if self.model.startswith(GPT_IMAGE) else OPTIONS[2:]

    def request(self, prompt: str = "") -> ImageRequest:
        """Make the image request, with another prompt where one is given. Raises as `parameters.generation` does, and InvalidValue
        for the seed."""
        return parameters.generation({"n": self.n, **self.values(), "prompt": prompt or self.prompt})

    def retry(self) -> RepeatHeaders:
        """Return the retry headers that the form stands for. Raises InvalidValue for a token that no form of ours has."""
        return RepeatHeaders.from_headers({"idempotency-key": f"console-{self.token}" if self.token else ""})

    def _seed(self) -> int:
        seed = int(self.seed) if self.seed.isascii() and self.seed.isdigit() and len(self.seed) < 11 else SEED_MAX + 1
        if seed > SEED_MAX:
            raise InvalidValue(_WRONG_SEED, param="seed")
        return seed
