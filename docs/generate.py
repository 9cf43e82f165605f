"""Writes what is generated from the code: docs/settings.md and .env.example. Run: .venv/bin/python docs/generate.py"""

import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.settings import MIB, Settings  # noqa: E402  (a checkout need not be installed)

TITLES = {
    "data_dir": "Data",
    "upstream_base_url": "Relay",
    "host": "Server",
    "json_bytes_max": "Requests and answers",
    "currency": "The book",
    "smtp_host": "Alerts",
    "guard_models_per_minute": "Guard by client address",
    "sandbox_profile": "Sandbox and logs",
    "relay_queue_max": "Queue before the relays",
    "member_keys": "Console",
    "oidc_issuer": "Single sign-on",
    "backup_dir": "Backups",
    "secret_key_old": "Change of the secret",
    "metrics_token": "Metrics",
}
"""The setting a group begins with: the order is that of app/settings.py."""

SETTINGS_HEAD = """\
<!-- Made by docs/generate.py from app/settings.py. -->
# Settings

Settings are read when a command starts, from the environment and from `.env` in the current directory; the environment
wins. An empty value means: not set. Names ending in `_S` are seconds, in `_BYTES_MAX` bytes. Options of a command
(`--data-dir`, `--host`, `--port`) win over both.

`imagegate serve` refuses to start on a value that cannot be, and names the setting. `imagegate doctor` looks at whether
what is set also works. In the sandbox (`--sandbox`) `DATABASE_URL`, `REDIS_URL`, `RESULTS_URL`, `SECRET_KEY`,
`UPSTREAM_BASE_URL`, `UPSTREAM_API_KEY`, `UPSTREAM_PROXY` and `BACKUP_DIR` are not used.
"""

SETTINGS_TAIL = """
## For docker compose only

| variable | what it is for |
|---|---|
| `POSTGRES_PASSWORD` | Password of the database that `docker-compose.yml` starts; letters and digits: it becomes part of a URL. |
| `IMAGEGATE_PUBLISH` | Address and port, or ports, of the host the gateway is published on; `127.0.0.1:8000` without it. |
"""

ENV_HEAD = """\
# Copy this file to .env, beside it, and take the # off the lines you set. Made by docs/generate.py from app/settings.py.
# What stands here as a value is the default; docs/settings.md says the same as a table.
"""

ENV_TAIL = """
# --- For docker compose only ----------------------------------------------------------------

# Password of the database; letters and digits, because it becomes part of a URL: openssl rand -hex 24
# POSTGRES_PASSWORD=

# Address and port, or ports, of the host the gateway is published on.
# IMAGEGATE_PUBLISH=127.0.0.1:8000
"""


def settings_page() -> str:
    """docs/settings.md: a table for each group."""
    return SETTINGS_HEAD + "".join(_table(title, names) for title, names in _groups()) + SETTINGS_TAIL


def env_example() -> str:
    """.env.example: every setting, commented out, with its default as the value."""
    return ENV_HEAD + "".join(_section(title, names) for title, names in _groups()) + ENV_TAIL


def _groups() -> list[tuple[str, list[str]]]:
    groups: list[tuple[str, list[str]]] = []
    # Fields of a base class come first, and these are for few.
    for name in sorted(Settings.model_fields, key=lambda name: name not in Settings.__annotations__):
        if name in TITLES:
            groups.append((TITLES[name], []))
        groups[-1][1].append(name)
    return groups


def _table(title: str, names: list[str]) -> str:
    rows = []
    for name in names:
        field = Settings.model_fields[name]
        rows.append(f"| `{_variable(name)}` | {_shown(name, _default(field))} | {field.description} |\n")
    return f"\n## {title}\n\n| variable | default | what it is for |\n|---|---|---|\n{''.join(rows)}"


def _section(title: str, names: list[str]) -> str:
    lines = [f"\n# --- {title} ".ljust(96, "-") + "\n"]
    for name in names:
        field = Settings.model_fields[name]
        secret = " Make one with: openssl rand -hex 32" if name == "secret_key" else ""
        remark = textwrap.fill(f"{field.description}{secret}", 118, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"\n{remark}\n# {_variable(name)}={_default(field)}\n")
    return "".join(lines)


def _variable(name: str) -> str:
    return f"IMAGEGATE_{name.upper()}"


def _shown(name: str, default: str) -> str:
    if name.endswith("_bytes_max") and int(default) % MIB == 0:
        return f"`{default}` ({int(default) // MIB} MiB)"
    return f"`{default}`" if default else "not set"


def _default(field: FieldInfo) -> str:
    """As it would be written in .env; empty where there is none, and always where it is a secret."""
    value: Any = field.default
    if value is None or SecretStr in get_args(field.annotation):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    for path, text in FILES.items():
        (ROOT / path).write_text(text(), encoding="utf-8")
        print(path)


FILES = {"docs/settings.md": settings_page, ".env.example": env_example}

if __name__ == "__main__":
    main()
