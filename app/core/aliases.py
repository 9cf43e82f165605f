"""Aliases of models: names that stand for a model of the catalog, and the translation of what clients send with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from app.core.request import GPT_IMAGE, ImageRequest, ResponseFormat
from app.core.spellings import folded_choice

ALIAS_NAME = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@+*-]{0,127}", re.ASCII)
"""Form of an alias: a model's name, in which each `*` stands for any characters."""

_DALL_E_SIZES = {
    "256x256": "1024x1024",
    "512x512": "1024x1024",
    "1792x1024": "1536x1024",
    "1024x1792": "1024x1536",
}
_DALL_E_QUALITIES = {"standard": "medium", "hd": "high"}
_DALL_E_FIELDS = ("style",)


@dataclass(frozen=True, slots=True)
class Translation:
    """Changes to a request on its way from an alias to the model: other sizes and qualities by those that the client sends, fields
    to drop, and the `response_format` for a client that names none (None: the model's own)."""

    sizes: Mapping[str, str]
    qualities: Mapping[str, str]
    dropped_fields: tuple[str, ...]
    response_format: ResponseFormat | None


@dataclass(frozen=True, slots=True)
class ModelAlias:
    """Name, or pattern of names, that stands for `model`. `own` is the translation that an administrator chose, without that of
    the model's kind."""

    name: str
    model: str
    own: Translation
    created_at_ms: int
    updated_at_ms: int

    @property
    def is_pattern(self) -> bool:
        return "*" in self.name

    @property
    def translation(self) -> Translation:
        """Translation in effect. OpenAI's image models also get what the sizes, qualities and `style` of DALL-E mean for them."""
        if not self.model.startswith(GPT_IMAGE):
            return self.own
        return replace(
            self.own,
            sizes=_DALL_E_SIZES | dict(self.own.sizes),
            qualities=_DALL_E_QUALITIES | dict(self.own.qualities),
            dropped_fields=tuple(dict.fromkeys((*_DALL_E_FIELDS, *self.own.dropped_fields))),
        )

    def translate(self, request: ImageRequest) -> ImageRequest:
        """Return `request` as it is priced, limited and sent: to the model, with its sizes and qualities."""
        rules = self.translation
        dropped = {name.casefold() for name in rules.dropped_fields}
        fields = {name: value for name, value in request.fields.items() if _plain_name(name) not in dropped}
        size = None if "size" in dropped else _translated(request.size, rules.sizes)
        quality = None if "quality" in dropped else _translated(request.quality, rules.qualities)
        wanted = request.response_format or rules.response_format
        facts = {"model": self.model, "size": size, "quality": quality, "response_format": wanted}
        return replace(
            request,
            model=self.model,
            asked_model=request.model,
            size=size,
            quality=quality,
            response_format=wanted,
            fields=fields | {name: value for name, value in facts.items() if value is not None},
        )


def matching_alias(aliases: Sequence[ModelAlias], name: str) -> ModelAlias | None:
    """Find the alias for a name: the one of this very name, else the pattern with the most characters besides `*`."""
    matching = [alias for alias in aliases if fnmatchcase(name, alias.name)]
    return max(matching, key=_exactness, default=None)


def _exactness(alias: ModelAlias) -> tuple[bool, int, int, str]:
    """Order of precedence; of two patterns of one length that with the longer beginning before its first `*` comes first."""
    return not alias.is_pattern, len(alias.name.replace("*", "")), alias.name.find("*"), alias.name


def _plain_name(field: str) -> str:
    """Return the name of a field without the brackets of a form's lists and objects, in lower case: relays may ignore the case."""
    return field.partition("[")[0].casefold()


def _translated(value: str | None, by_value: Mapping[str, str]) -> str | None:
    spelled = {folded_choice(name): folded_choice(value) for name, value in by_value.items()}
    return None if value is None else spelled.get(value, value)
