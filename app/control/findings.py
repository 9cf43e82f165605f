"""Results of the checks of `imagegate doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. After a `warning` the gateway still works; after `failed` it refuses or loses requests. Both messages
    name the next step."""

    check: str
    status: Status
    message: str


@cache
def chinese_findings() -> Mapping[str, str]:
    """Load the Chinese names and messages of findings, by their English: a table for `Translations`."""
    import tomllib

    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
