"""The settings, read once from the environment or `.env`, prefix `IMAGEGATE_`. docs/settings.md is made from this file."""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigurationError

MIB = 1024 * 1024
Positive = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """One frozen object; `app/wiring.py` hands its values on."""

    model_config = SettingsConfigDict(
        env_prefix="IMAGEGATE_", env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        Path("data"), description="Folder of the SQLite database, the pepper, results and spooled uploads."
    )
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host:5432/name`. Without it: SQLite in DATA_DIR."
    )
    database_connections_max: Positive = Field(
        10, description="PostgreSQL connections for the money of requests, per process; up to 10 more serve reports."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://host:6379/0` for rates shared by several replicas. Without it they are counted in memory.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="The pepper of all API keys, at least 32 characters, the same on every replica, never changed. "
        "Without it, DATA_DIR/secret_key, which the first start makes.",
    )

    upstream_base_url: str = Field("https://api.whatai.cc", description="The relay; with or without a trailing `/v1`.")
    upstream_api_key: SecretStr | None = Field(
        None, description="The relay's key. The only secret your team no longer needs to share."
    )
    upstream_connect_timeout_s: PositiveSeconds = Field(
        5.0, description="To connect to the relay, through the proxy if there is one, TLS included."
    )
    upstream_proxy: SecretStr | None = Field(
        None,
        description="The proxy to the relay: `http://user:password@proxy:3128`, or `env` for what HTTPS_PROXY, HTTP_PROXY and "
        "NO_PROXY say at the start. Used for the relay only, never for webhooks or pictures.",
    )
    upstream_ca_file: Path | None = Field(
        None,
        description="A PEM file of certificates that the relay (or a proxy that opens its TLS) may be signed by, besides those "
        "the system trusts.",
    )
    upstream_deadline_s: PositiveSeconds = Field(
        1800.0, description="The longest an exchange with the relay may last. A client waits less: CLIENT_DEADLINE_S."
    )
    upstream_answer_bytes_max: Positive = Field(
        256 * MIB,
        description="The largest answer taken from the relay, counted decoded; a larger one is an unknown outcome.",
    )
    upstream_dollar_micros: Positive = Field(
        1_000_000,
        description="What a dollar in the relay's accounts (500,000 points) costs you, in millionths of CURRENCY: 1000000 is "
        "1.00. Reconciliation compares the relay's log with the book by it.",
    )
    client_deadline_s: PositiveSeconds = Field(
        600.0, description="The longest a client is kept waiting; the exchange goes on without it and is booked."
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 inside a container.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    drain_s: PositiveSeconds = Field(
        300.0, description="After SIGTERM, how long requests in flight may run to their end before the process leaves."
    )
    in_flight_max: Positive = Field(
        1000, description="Image requests one process works on at once; the next one is told to come back (503)."
    )
    json_bytes_max: Positive = Field(MIB, description="Largest JSON body of a generation.")
    upload_bytes_max: Positive = Field(
        64 * MIB, description="Largest body of an edit: all files of a multipart form, or JSON with data URLs."
    )
    file_bytes_max: Positive = Field(10_000_000, description="Largest single image of an edit; the relay takes 10 MB.")
    pixels_max: Positive = Field(50_000_000, description="Largest image of an edit, width times height.")
    body_idle_s: PositiveSeconds = Field(30.0, description="An upload that stands still for this long is dropped.")
    result_keep_s: PositiveSeconds = Field(
        900.0, description="How long the stored answer of a request is kept, for a client that tries again."
    )
    result_keep_keyed_s: PositiveSeconds = Field(
        86_400.0, description="The same for requests with an Idempotency-Key or `Prefer: respond-async`."
    )
    result_bytes_max: Positive = Field(
        10_240 * MIB, description="Above this, the oldest stored answers go first, but none younger than 15 minutes."
    )
    results_url: str | None = Field(
        None,
        description="`s3://bucket/prefix` for replicas that share no DATA_DIR: stored answers above 32 KiB go there, too, so that "
        "each replica can replay them. What RESULTS_* leaves open comes from `AWS_*` variables of the environment, or from the "
        "machine's role. Needs the extra `s3`, which both locks hold.",
    )
    results_endpoint: str | None = Field(
        None, description="`https://host:port` of a store that is not Amazon's; `http://` is taken as well."
    )
    results_region: str | None = Field(None, description="The bucket's region; us-east-1 without it.")
    results_access_key_id: str | None = Field(None, description="Who reads, writes and deletes there.")
    results_secret_access_key: SecretStr | None = Field(None, description="The secret that goes with it.")

    disk_free_bytes_min: Positive = Field(
        64 * MIB, description="With less room left in DATA_DIR nothing new is bought: its answer could not be stored."
    )
    currency: str = Field(
        "CNY", pattern="^[A-Z]{3}$", description="The currency of the book; nothing is ever converted."
    )
    timezone: str = Field(
        "Asia/Shanghai", description="Where days, weeks and months begin and end; the first start binds the book to it."
    )

    smtp_host: str | None = Field(None, description="The mail server that alerts leave by. Without it none is mailed.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection to it is encrypted; `tls` goes with port 465."
    )
    smtp_user: str | None = Field(None, description="To sign in with; without it nobody signs in.")
    smtp_password: SecretStr | None = Field(None, description="To sign in with.")
    smtp_from: str | None = Field(None, description="The sender of mails; `imagegate@` and SMTP_HOST without it.")
    webhook_allow_http: bool = Field(False, description="Alerts may go to webhooks without TLS (`http://`) too.")
    webhook_allow_private: bool = Field(
        False, description="Alerts may go to webhooks inside your own network: to private and loopback addresses too."
    )

    guard_models_per_minute: Positive = Field(600, description="GET /v1/models per client address.")
    guard_admin_per_minute: Positive = Field(600, description="Calls under /v1/organization per client address.")
    guard_own_per_minute: Positive = Field(
        600, description="GET /v1/key, /v1/usage/images, /v1/costs and POST /v1/images/quote, each per client address."
    )
    guard_bad_keys_per_minute: Positive = Field(60, description="Requests with a wrong key per client address.")

    sandbox_profile: Literal["C", "N"] = Field(
        "C", description="Which generation of relay the sandbox plays: C, or the newer N, which streams."
    )
    log_json: bool = Field(False, description="Log lines as JSON, for machines.")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any, info: Any) -> Any:
        """`IMAGEGATE_REDIS_URL=` in a .env file means: not set."""
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

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def read_settings(**given: Any) -> Settings:
    """Environment and `.env`, with `given` on top. Raises ConfigurationError, naming the setting, without its value."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        wrong = "; ".join(f"IMAGEGATE_{str(error['loc'][0]).upper()}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(f"{wrong}. See .env.example.") from None
