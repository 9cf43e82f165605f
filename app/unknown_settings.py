"""Names that look like settings and are none: a slip of the pen that would otherwise change nothing and say nothing."""

import difflib
import os

from pydantic_settings import DotEnvSettingsSource

from app.settings import Settings

PREFIX = "IMAGEGATE_"
OTHERS = {"IMAGEGATE_URL", "IMAGEGATE_ADMIN_KEY", "IMAGEGATE_KEY", "IMAGEGATE_PUBLISH", "IMAGEGATE_CRASH_AT"}
"""Names of the command line on another machine, of the guides, of docker-compose.yml and of the tests."""


def unknown_settings() -> list[str]:
    """List the names in the environment and in `.env` that begin like a setting and are none, each with the setting of a similar
    name where there is one. It tells no value."""
    settings = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    given = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    unknown = sorted(name for name in given - settings - OTHERS if name.startswith(PREFIX))
    return [_described(name, settings) for name in unknown]


def _described(name: str, settings: set[str]) -> str:
    near = difflib.get_close_matches(name, settings, 1, 0.8)
    return f"{name} ({near[0]}?)" if near else name
