"""Names that look like settings and are none: a slip of the pen that would otherwise change nothing and say nothing."""

import difflib
import os
import re

from pydantic_settings import DotEnvSettingsSource

from app.settings import Settings

PREFIX = "IMAGEGATE_"
OTHERS = {f"{PREFIX}{name}" for name in ("URL", "ADMIN_KEY", "KEY", "PUBLISH", "CRASH_AT", "CONTRACT", "RECORD")}
"""Names of the command line on another machine, of the guides, of docker-compose.yml and of the tests."""
NAME = re.compile(r"IMAGEGATE_[A-Z0-9_]+")
OF_KUBERNETES = re.compile(r"IMAGEGATE_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_\w+)")
"""Names that Kubernetes gives every container beside a service called imagegate."""


def unknown_settings() -> list[str]:
    """List the names in the environment and in `.env` that begin like a setting and are none, each with the setting of a similar
    name where there is one.

    It tells no value, nor a line of `.env` without `=`, which is read as a name as a whole and may hold a secret.
    """
    settings = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    lines = DotEnvSettingsSource(Settings).env_vars
    given = {name.upper() for name in (*os.environ, *(name for name, value in lines.items() if value is not None))}
    unknown = [name for name in given - settings - OTHERS if NAME.fullmatch(name) and not OF_KUBERNETES.fullmatch(name)]
    return [_described(name, settings) for name in sorted(unknown)]


def _described(name: str, settings: set[str]) -> str:
    near = difflib.get_close_matches(
        name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in settings], 1, 0.8
    )
    return f"{name} ({PREFIX}{near[0]}?)" if near else name
