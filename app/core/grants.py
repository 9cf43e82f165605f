"""Who is asking, and what holds for them."""

from dataclasses import dataclass

from app.core.limits import Limit


@dataclass(frozen=True, slots=True)
class Grant:
    """One API key with everything that bears on its requests, as of one `revision` of the control data.

    `models` is None where the key may use every model of the catalog. `limits` are those of the key, its user, its project
    and the organization, rates included.
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

    def usable_at(self, now_ms: int) -> bool:
        """Neither revoked nor expired, and its owner and project are active."""
        expired = self.expires_at_ms is not None and self.expires_at_ms <= now_ms
        return not (self.revoked or expired or self.owner_disabled or self.project_archived)

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models
