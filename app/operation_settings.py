"""Settings for whoever operates a gateway, a part of those in `app/settings.py`."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class OperationSettings(BaseSettings):
    """Settings for whoever operates a gateway."""

    relay_queue_max: int = Field(
        1000,
        ge=0,
        description="Most requests that wait for a place at a relay whose number of requests at once is bounded.",
    )
    relay_queue_wait_s: float = Field(30.0, gt=0, description="Longest wait in seconds of such a request.")
    backup_dir: Path | None = Field(
        None,
        description="Folder on another disk for a backup each night, which the gateway makes itself: one of the replicas, where "
        "there are several. Without it: none.",
    )
    backup_at: str = Field(
        "03:30",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="Time of the nightly backup in TIMEZONE. A missed one is made as soon as possible.",
    )
    backup_keep: int = Field(7, ge=1, description="Nightly backups that are kept; older ones are removed.")
    secret_key_old: SecretStr | None = Field(
        None,
        description="The other secret while SECRET_KEY is being changed: keys and links made with it work as well. "
        "Take it away when `imagegate doctor` counts no key under it any more.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret with which Prometheus reads `/metrics` (`Authorization: Bearer ...`), at least 16 characters.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of HOST on which `/metrics` is served without a secret, for a network that only Prometheus reaches.",
    )
    member_keys: bool = Field(
        True,
        description="Whether members may make, rotate and revoke keys of their own in the console, inside their limits.",
    )
