"""Projects, their rate limits and model permissions, in OpenAI's forms."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from app.api.schemas.base import IGNORED, AnswerModel, Ignored, InputModel, NamedOut
from app.control.limits import AMOUNT_MAX, LimitChange, LimitState
from app.core.grants import ModelMode, ModelRule
from app.core.intervals import Interval
from app.core.limits import Unit
from app.store.organization import Project

UNLIMITED = AMOUNT_MAX
"""Amount that means no limit; setting it removes the limit."""
RATE_LIMIT_PREFIX = "rl-"
MODELS_MAX = 1000
_RATE_FIELDS: dict[str, tuple[Unit, Interval]] = {
    "max_requests_per_1_minute": ("requests", "minute"),
    "max_images_per_1_minute": ("images", "minute"),
    "max_requests_per_1_day": ("requests", "day"),
}
_PERMISSIONS = {"mode": "allow_list", "model_ids": ["gpt-image-1"]}


class ProjectOut(
    NamedOut,
    json_schema_extra={
        "example": {
            "object": "organization.project",
            "id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k",
            "name": "web",
            "created_at": 1795996800,
            "archived_at": None,
            "status": "active",
            "external_key_id": None,
            "residency": None,
        }
    },
):
    """Project: a team or cost centre."""

    object: Literal["organization.project"] = "organization.project"
    id: str
    name: str
    created_at: int
    archived_at: int | None
    status: Literal["active", "archived"]
    external_key_id: None = None
    residency: None = None

    @classmethod
    def of(cls, project: Project) -> Self:
        return cls.from_record(project, status="active" if project.archived_at_ms is None else "archived")


class RateLimitOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "project.rate_limit",
            "id": "rl-gpt-image-1",
            "model": "gpt-image-1",
            "max_requests_per_1_minute": 20,
            "max_images_per_1_minute": 10,
            "max_requests_per_1_day": UNLIMITED,
            "max_tokens_per_1_minute": UNLIMITED,
        }
    },
):
    """Limits of a project for one model; 1000000000 means no limit."""

    object: Literal["project.rate_limit"] = "project.rate_limit"
    id: str
    model: str
    max_requests_per_1_minute: int
    max_images_per_1_minute: int
    max_requests_per_1_day: int
    max_tokens_per_1_minute: int = UNLIMITED

    @classmethod
    def of(cls, model: str, states: Iterable[LimitState]) -> Self:
        """Make the answer; `states` are the project's limits for this model, with their use."""
        amounts = {(state.limit.unit, state.limit.interval): state.limit.amount for state in states}
        fields = {name: amounts.get(counted, UNLIMITED) for name, counted in _RATE_FIELDS.items()}
        return cls(id=f"{RATE_LIMIT_PREFIX}{model}", model=model, **fields)


class ModelPermissionsOut(
    AnswerModel, json_schema_extra={"example": {"object": "project.model_permissions", **_PERMISSIONS}}
):
    """Models that a project may use. Keys can be restricted further."""

    object: Literal["project.model_permissions"] = "project.model_permissions"
    mode: ModelMode
    model_ids: list[str]

    @classmethod
    def of(cls, rule: ModelRule) -> Self:
        return cls(mode=rule.mode, model_ids=list(rule.models))


def _no_region(value: Any) -> Any:
    if value not in (None, "GLOBAL"):
        raise ValueError("this gateway keeps data where it stands, and promises no region; leave it out, or say GLOBAL")
    return value


class ProjectCreate(InputModel, json_schema_extra={"example": {"name": "web"}}):
    """Project to create. Its name must be free."""

    name: str
    external_key_id: Ignored = None
    geography: Ignored = None
    residency: Annotated[Literal["GLOBAL"] | None, BeforeValidator(_no_region), IGNORED] = None


class ProjectUpdate(InputModel, json_schema_extra={"example": {"name": "website"}}):
    """Change of a project's name."""

    name: str | None = None
    external_key_id: Ignored = None
    geography: Ignored = None


class ModelPermissionsSet(InputModel, json_schema_extra={"example": _PERMISSIONS}):
    """Permissions that replace those of the project."""

    mode: ModelMode = Field(description="`allow_list`: only these models. `deny_list`: all but these.")
    model_ids: list[str] = Field(max_length=MODELS_MAX, description="Models of the catalog.")


_Amount = Annotated[int | None, Field(ge=0, le=UNLIMITED)]


class RateLimitUpdate(
    InputModel, json_schema_extra={"example": {"max_requests_per_1_minute": 20, "max_images_per_1_minute": 10}}
):
    """Change of rate limits. Fields left out stay as they are; 1000000000 removes a limit."""

    max_requests_per_1_minute: _Amount = None
    max_images_per_1_minute: _Amount = None
    max_requests_per_1_day: _Amount = None
    max_tokens_per_1_minute: _Amount = Field(None, description="Accepted without effect: no limit counts tokens.")
    max_audio_megabytes_per_1_minute: _Amount = Field(None, description="Accepted without effect: there is no audio.")
    batch_1_day_max_input_tokens: _Amount = Field(None, description="Accepted without effect: there are no batches.")

    def changes(self) -> list[LimitChange]:
        given = {name: amount for name in _RATE_FIELDS if (amount := getattr(self, name)) is not None}
        return [
            LimitChange(*_RATE_FIELDS[name], None if amount == UNLIMITED else amount) for name, amount in given.items()
        ]
