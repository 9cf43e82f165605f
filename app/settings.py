"""Settings, read once from the environment or `.env`, with the prefix `IMAGEGATE_`. docs/settings.md is made from this file."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from app.errors import ConfigurationError
from app.operation_settings import OperationSettings
from app.sign_on_settings import SignOnSettings

MIB = 1024 * 1024
Positive = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
_ORIGIN = r"[a-z][a-z0-9+.-]*://[^\s,/?#*@]+/?"
"""Origin of a page: scheme, host and, if any, port."""


class Settings(SignOnSettings, OperationSettings):
    """Immutable settings of a process; `app/wiring.py` passes their values on."""

    model_config = SettingsConfigDict(
        env_prefix="IMAGEGATE_", env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        Path("data"),
        description="Folder of the SQLite database, the secret key, results, pictures and spooled uploads.",
    )
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host:5432/name`. Without it: SQLite in DATA_DIR."
    )
    database_connections_max: Positive = Field(
        10,
        description="PostgreSQL connections per process for reserving and booking requests; up to 10 more serve everything else.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://host:6379/0` to count rates across replicas. Without it each process counts in memory.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Secret key that all API keys are hashed with, at least 32 characters, the same on every replica. To change "
        "it: SECRET_KEY_OLD. Without it: DATA_DIR/secret_key, which the first start makes.",
    )

    upstream_base_url: str = Field(
        "https://api.whatai.cc", description="URL of the relay, with or without a trailing `/v1`."
    )
    upstream_api_key: SecretStr | None = Field(
        None, description="Key of the relay. The gateway never shows it to clients."
    )
    upstream_log_key_in_url: bool = Field(
        False,
        description="Whether the relay's log of charges may be asked for with its key in the address, where an older relay takes "
        "it only there. Access logs of the relay and of proxies keep addresses, so the key is then in them.",
    )
    upstream_connect_timeout_s: PositiveSeconds = Field(
        5.0, description="Seconds to connect to the relay, through the proxy if there is one, TLS included."
    )
    upstream_proxy: SecretStr | None = Field(
        None,
        description="Proxy to the relay: `http://user:password@proxy:3128`, or `env` to read HTTPS_PROXY, HTTP_PROXY and "
        "NO_PROXY at the start. Used for the relay only, never for webhooks or pictures.",
    )
    upstream_ca_file: Path | None = Field(
        None,
        description="PEM file of certificate authorities to trust for the relay (or a proxy that opens its TLS), besides those of "
        "the system.",
    )
    upstream_deadline_s: PositiveSeconds = Field(
        1800.0,
        description="Longest time of an exchange with the relay, in seconds. A client waits less: CLIENT_DEADLINE_S.",
    )
    upstream_answer_bytes_max: Positive = Field(
        256 * MIB,
        description="Largest answer of the relay, in bytes after decoding; a larger one is an unknown outcome.",
    )
    upstream_dollar_micros: Positive = Field(
        1_000_000,
        description="Your cost of a dollar in the relay's accounts (500,000 points), in millionths of CURRENCY: 1000000 is "
        "1.00. Reconciliation uses it to compare the relay's log with the book.",
    )
    client_deadline_s: PositiveSeconds = Field(
        600.0, description="Longest wait of a client, in seconds; then the exchange goes on without it and is booked."
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 inside a container.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    drain_s: PositiveSeconds = Field(
        300.0,
        description="Longest time after SIGTERM, in seconds, for requests in flight to finish before the process exits.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="Address at which clients reach the gateway, with the path before `/v1` if a proxy adds one: "
        "`https://images.example.com`. Links to pictures begin with it (without it: with the scheme and Host of each request), "
        "and invitations. With https:// the cookie of the console is Secure.",
    )
    cors_origins: str = Field(
        "",
        pattern=rf"^\s*(\*|{_ORIGIN}(\s*,\s*{_ORIGIN})*)?\s*$",
        description="Pages whose programs may call the gateway from a browser: `https://app.example.com`, several by comma, or "
        "`*` for all. Never with cookies. Without it: none.",
    )
    in_flight_max: Positive = Field(
        2000,
        description="Most image requests in one process at once; further ones are refused with 503, which clients retry.",
    )
    in_flight_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Part of IN_FLIGHT_MAX that one user or service account may take with all keys; further requests of that owner "
        "are refused with 429, which clients retry. 1 lets one owner take everything.",
    )
    open_bodies_max: Positive = Field(
        1000,
        description="Most bodies of image requests that one process reads at once. One key may have a tenth of them open, and two "
        "after a refusal for a used-up limit. Further ones are refused unread with 429, which clients retry.",
    )
    open_bodies_bytes_max: Positive = Field(
        1024 * MIB,
        description="Most bytes of bodies that have not arrived whole. One key may have a quarter of it, but always one upload of "
        "UPLOAD_BYTES_MAX.",
    )
    json_bytes_max: Positive = Field(MIB, description="Largest JSON body of a generation, in bytes.")
    upload_bytes_max: Positive = Field(
        64 * MIB,
        description="Largest body of an edit, in bytes: all files of a multipart form, or JSON with data URLs.",
    )
    file_bytes_max: Positive = Field(
        10_000_000, description="Largest single image of an edit, in bytes; the relay accepts 10 MB."
    )
    pixels_max: Positive = Field(50_000_000, description="Largest image of an edit, in pixels: width times height.")
    body_idle_s: PositiveSeconds = Field(
        30.0, description="Seconds after which an upload that makes no progress is refused."
    )
    result_keep_s: PositiveSeconds = Field(
        900.0, description="Seconds that the stored answer of a request is kept for a retry."
    )
    result_keep_keyed_s: PositiveSeconds = Field(
        86_400.0,
        description="Seconds that it is kept for a request with an Idempotency-Key or `Prefer: respond-async`, or with links to "
        "its pictures (`response_format` `url`), which live as long: to the end of the hour, and for 24 hours at most.",
    )
    result_bytes_max: Positive = Field(
        10_240 * MIB,
        description="Most bytes of all stored answers. Above it the oldest are removed, but none younger than 15 minutes.",
    )
    results_url: str | None = Field(
        None,
        description="`s3://bucket/prefix` for replicas that share no DATA_DIR: stored answers above 32 KiB go there, so that "
        "each replica can replay them. RESULTS_* settings that are not set come from `AWS_*` variables of the environment, or from "
        "the machine's role. Needs the extra `s3`, which both lock files include.",
    )
    results_endpoint: str | None = Field(
        None, description="`https://host:port` of a store that is not Amazon's; `http://` works, too."
    )
    results_region: str | None = Field(None, description="Region of the bucket; us-east-1 without it.")
    results_access_key_id: str | None = Field(None, description="Access key that may read, write and delete there.")
    results_secret_access_key: SecretStr | None = Field(None, description="Secret of that access key.")

    prompts: Literal["text", "hash", "none"] = Field(
        "text",
        description="What the book keeps of a prompt from now on: its `text`, by which its owner finds pictures, a `hash` that "
        "tells equal ones, or `none`. With `none` no request is recognised as a duplicate.",
    )
    pictures_keep_days: int = Field(
        30,
        ge=0,
        description="Days that a picture is kept after it was bought, in DATA_DIR/pictures or the bucket. 0: no picture is kept "
        "longer than its stored answer.",
    )
    pictures_bytes_max: Positive = Field(
        20_480 * MIB,
        description="Most bytes of all kept pictures. Above it the oldest are removed, but none younger than a day.",
    )
    pictures_link_s: PositiveSeconds = Field(
        86_400.0,
        le=7 * 86_400,
        description="Seconds that a link to a picture works, rounded up to the hour, but never longer than the picture is kept; "
        "7 days at most.",
    )
    pictures_fetch_networks: str = Field(
        "",
        description="Networks of your own that pictures may be fetched from when the relay answers with a link, over `http://` and "
        "on any port, too: `10.1.0.0/16`, several by comma. Public addresses need no entry; they are reached by https, port 443.",
    )
    pictures_fetch_s: PositiveSeconds = Field(
        30.0,
        description="Longest time to fetch a picture from a link of the relay, in seconds, which its answer waits for.",
    )
    pictures_fetch_bytes_max: Positive = Field(
        64 * MIB, description="Largest picture that is fetched from a link of the relay, in bytes."
    )
    disk_free_bytes_min: Positive = Field(
        64 * MIB,
        description="Least free bytes on the disk of DATA_DIR. Below it nothing is bought, because an answer could not be stored.",
    )
    currency: str = Field("CNY", pattern="^[A-Z]{3}$", description="Currency of the book; amounts are never converted.")
    timezone: str = Field(
        "Asia/Shanghai",
        description="Timezone of days, weeks and months; the first start binds the database to it.",
    )

    smtp_host: str | None = Field(None, description="Mail server for alerts. Without it no alert by mail can be made.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="Encryption of the connection to the mail server; `tls` is for port 465."
    )
    smtp_user: str | None = Field(None, description="User at the mail server; without it no login takes place.")
    smtp_password: SecretStr | None = Field(None, description="Password of SMTP_USER.")
    smtp_from: str | None = Field(None, description="Sender of mails; `imagegate@` and SMTP_HOST without it.")
    webhook_allow_http: bool = Field(False, description="Allow alerts to webhooks without TLS (`http://`).")
    webhook_allow_private: bool = Field(
        False, description="Allow alerts to webhooks inside your own network, at private and loopback addresses."
    )

    guard_models_per_minute: Positive = Field(
        600, description="Most calls of GET /v1/models per client address and minute."
    )
    guard_admin_per_minute: Positive = Field(
        600, description="Most calls under /v1/organization per client address and minute."
    )
    guard_own_per_minute: Positive = Field(
        600,
        description="Most calls of /v1/key, /v1/usage/images, /v1/costs and /v1/images/quote, each per client address and minute.",
    )
    guard_pictures_per_minute: Positive = Field(
        1200, description="Most calls for pictures by signed link per client address and minute."
    )
    guard_bad_keys_per_minute: Positive = Field(
        60, description="Most requests with a wrong key per client address and minute."
    )

    sandbox_profile: Literal["C", "N"] = Field(
        "C", description="Generation of the relay that the sandbox imitates: C, or the newer N, which streams."
    )
    log_json: bool = Field(False, description="Write log lines as JSON instead of logfmt (in colour at a terminal).")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any, info: Any) -> Any:
        """Treat an empty value, such as `IMAGEGATE_REDIS_URL=` in a .env file, as not set."""
        if isinstance(value, str) and not value.strip():
            return cls.model_fields[info.field_name].default
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is not a timezone; write one like Asia/Shanghai or UTC") from None
        return value

    @field_validator("pictures_fetch_networks")
    @classmethod
    def _valid_networks(cls, value: str) -> str:
        for network in _listed(value):
            ip_network(network)  # Its ValueError names the network and what is wrong with it.
        return value

    @property
    def fetch_networks(self) -> list[str]:
        return _listed(self.pictures_fetch_networks)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def allowed_origins(self) -> list[str]:
        """List the origins of CORS_ORIGINS, in the form that browsers send."""
        return [origin.lower().rstrip("/") for origin in _listed(self.cors_origins)]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_settings(**overrides: Any) -> Settings:
    """Read the environment and `.env`; arguments in `overrides` win. Raises ConfigurationError, which names the setting but not its
    value."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        wrong = "; ".join(f"IMAGEGATE_{str(error['loc'][0]).upper()}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(f"{wrong}. See .env.example.") from None
