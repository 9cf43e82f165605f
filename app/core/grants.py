"""Grants: an API key with the permissions and limits of its requests."""

from dataclasses import dataclass
from typing import Literal

from app.core.catalog import Catalog, Model
from app.core.limits import Limit
from app.core.request import ImageRequest
from app.errors import ModelNotAllowed

ModelMode = Literal["allow_list", "deny_list"]


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Models that a project may use: only `models` (allow_list), or all others (deny_list)."""

    mode: ModelMode
    models: tuple[str, ...]

    def allows(self, model: str) -> bool:
        return (model in self.models) == (self.mode == "allow_list")


@dataclass(frozen=True, slots=True)
class Grant:
    """API key with the permissions and limits of its requests, as of one `revision` of the control data.

    `secret_hmac` is empty for a key without a secret. `owner_disabled`: the owner is disabled, deleted, or no longer a
    member of the project. `models` is None when the key may use every model of the catalog, `project_models` when its
    project may; a model must be allowed by both. `limits` are those of the key, its user, its project and the organization,
    rates included.
    """

    key_id: str
    key_name: str
    secret_hmac: bytes
    user_id: str
    user_name: str
    project_id: str
    project_name: str
    models: frozenset[str] | None
    expires_at_ms: int | None
    revoked: bool
    owner_disabled: bool
    project_archived: bool
    limits: tuple[Limit, ...]
    revision: int
    previous_hmac: bytes | None = None
    previous_until_ms: int | None = None
    """HMAC of the secret before the last rotation is `previous_hmac`; it is valid until this time (Unix ms)."""
    project_models: ModelRule | None = None

    @property
    def via(self) -> Literal["console"] | None:
        """Way of its purchases: a key without a secret buys in the console only, for its owner's session."""
        return None if self.secret_hmac else "console"

    def usable_at(self, now_ms: int) -> bool:
        """Return whether the key is neither revoked nor expired, and its owner and project are active."""
        expired = self.expires_at_ms is not None and self.expires_at_ms <= now_ms
        return not (self.revoked or expired or self.owner_disabled or self.project_archived)

    def hmacs_at(self, now_ms: int) -> list[bytes]:
        """Return the HMACs of the valid secrets: the current one and, for a while after a rotation, the one before."""
        if self.previous_hmac is None or self.previous_until_ms is None or self.previous_until_ms <= now_ms:
            return [self.secret_hmac]
        return [self.secret_hmac, self.previous_hmac]

    def may_use(self, model: str) -> bool:
        by_key = self.models is None or model in self.models
        return by_key and (self.project_models is None or self.project_models.allows(model))

    def usable_models(self, catalog: Catalog, now_ms: int) -> list[Model]:
        """List the models that this key can buy images from at `now_ms`: those with a price that it may use."""
        return [model for model in catalog.models.values() if model.is_priced_at(now_ms) and self.may_use(model.id)]


def allowed_request(catalog: Catalog, grant: Grant, request: ImageRequest) -> tuple[Model, ImageRequest]:
    """Resolve an alias, and check that this key may use the model so. Returns the model, and the request as it goes to it.

    Raises ModelNotFound, ModelNotAllowed, UnsupportedOperation, InvalidValue.
    """
    resolved = catalog.resolve(request)
    model = catalog.models.get(resolved.model)
    if model is None:
        raise catalog.not_found(request.model, [name for name in catalog.models if grant.may_use(name)])
    if not grant.may_use(model.id):
        allowed = ", ".join(sorted(name for name in catalog.models if grant.may_use(name))) or "none"
        stands = "" if resolved.asked_model is None else f", which {resolved.asked_model} stands for"
        raise ModelNotAllowed(f"This API key may not use {model.id}{stands}; it may use: {allowed}.", param="model")
    model.check(resolved)
    return model, resolved
