"""Settings of the single sign-on, a part of those in `app/settings.py`."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

ROLES = ("owner", "reader", "member")


class SignOnSettings(BaseSettings):
    """Settings of an OIDC provider with which people sign in to the console."""

    oidc_issuer: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="Issuer of an OIDC provider: `https://login.example.com`. With it, people sign in there, too. Its callback is "
        "PUBLIC_URL and `/console/oidc/callback`.",
    )
    oidc_client_id: str = Field("", description="Id of this gateway at the provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="Secret of this gateway at the provider.")
    oidc_domains: str = Field(
        "",
        description="Domains whose people may enter uninvited, by their verified address: `example.com`, several by comma. Without "
        "it: only invited people.",
    )
    oidc_roles: str = Field(
        "",
        description="Roles by group, from the claim `groups`: `admins=owner,finance=reader`. With it, roles follow the groups at "
        "each sign-in, and no group of it means member. Without it: roles come from invitations.",
    )

    @field_validator("oidc_roles")
    @classmethod
    def _valid_roles(cls, value: str) -> str:
        for pair in _pairs(value):
            if len(pair) != 2 or pair[1] not in ROLES:
                raise ValueError(f"each part is like admins=owner, with one of the roles {', '.join(ROLES)}")
        return value

    @property
    def roles_by_group(self) -> dict[str, str]:
        return {pair[0]: pair[1] for pair in _pairs(self.oidc_roles)}

    @property
    def sign_on_domains(self) -> frozenset[str]:
        """Return the domains of OIDC_DOMAINS in lower case."""
        return frozenset(part.strip().lower() for part in self.oidc_domains.split(",") if part.strip())


def _pairs(text: str) -> list[list[str]]:
    return [[side.strip() for side in part.rsplit("=", 1)] for part in text.split(",") if part.strip()]
