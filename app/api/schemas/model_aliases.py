"""Aliases of models."""

from typing import Annotated, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel
from app.control.model_aliases import AliasChange, ListedAlias
from app.core.request import ResponseFormat

_ALIAS = {
    "object": "model_alias",
    "name": "dall-e-3",
    "model": "gpt-image-1",
    "sizes": {"256x256": "1024x1024", "512x512": "1024x1024", "1792x1024": "1536x1024", "1024x1792": "1024x1536"},
    "qualities": {"standard": "medium", "hd": "high"},
    "dropped_fields": ["style"],
    "response_format": "url",
    "hidden": False,
    "created_at": 1795996800,
    "updated_at": 1795996800,
}
_NAME = Annotated[str, Field(max_length=128)]
_VALUES = Annotated[dict[str, str] | None, Field(max_length=100)]


class ModelAliasOut(AnswerModel, json_schema_extra={"example": _ALIAS}):
    """Name, or pattern with `*`, that stands for a model. The translation is that in effect, with what every alias of an OpenAI
    image model translates."""

    object: Literal["model_alias"] = "model_alias"
    name: str
    model: str
    sizes: dict[str, str] = Field(description="The model's size by the size that the client sends.")
    qualities: dict[str, str]
    dropped_fields: list[str]
    response_format: ResponseFormat | None = Field(description="For clients that name none.")
    hidden: bool = Field(description="True when a model of the catalog has this name: it wins.")
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, listed: ListedAlias) -> Self:
        rules = listed.alias.translation
        return cls.from_record(
            listed.alias,
            sizes=dict(rules.sizes),
            qualities=dict(rules.qualities),
            dropped_fields=list(rules.dropped_fields),
            response_format=rules.response_format,
            hidden=listed.hidden,
        )


class ModelAliasSet(
    InputModel, json_schema_extra={"example": {"name": "gpt-image-*", "model": "gpt-image-1", "response_format": None}}
):
    """Alias to create or change. Fields that are left out or null stay as they are; an empty one removes what was set."""

    name: _NAME = Field(
        description="Each `*` stands for any characters; the most exact alias wins, and a model always."
    )
    model: _NAME = Field(description="A model of the catalog, not an alias.")
    sizes: _VALUES = None
    qualities: _VALUES = None
    dropped_fields: Annotated[list[str] | None, Field(max_length=100)] = None
    response_format: Literal["url", "b64_json", ""] | None = None

    def change(self) -> AliasChange:
        return AliasChange(**self.model_dump())
