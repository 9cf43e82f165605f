"""Names that begin like a setting and are none: told by doctor and at the start, without their values."""

import re
from pathlib import Path

import pytest

from app.store.engine import Database
from app.unknown_settings import unknown_settings
from tests.cli.test_doctor import alone as alone
from tests.cli.test_doctor import found

ROOT = Path(__file__).parents[2]


async def test_a_name_that_is_no_setting_is_told_without_its_value(
    database: Database, tmp_path: Path, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_PROXI", "http://secret@proxy")
    Path(".env").write_text("IMAGEGATE_LOG_JSN=true\nIMAGEGATE_FLAVOUR=sweet\nIMAGEGATE_LOG_JSON=false\nOTHER=1\n")

    told = (await found(database.where, tmp_path))["configuration"]

    names = "IMAGEGATE_FLAVOUR, IMAGEGATE_LOG_JSN (IMAGEGATE_LOG_JSON?), IMAGEGATE_UPSTREAM_PROXI (IMAGEGATE_UPSTREAM_PROXY?)"
    assert told.status == "warning"
    assert told.message == f"No settings, so they change nothing: {names}. All settings are in docs/settings.md."


@pytest.mark.parametrize("file", [".env.example", "docker-compose.yml", "docs/recipes/README.md", "README.md"])
def test_no_name_that_users_are_told_of_is_unknown(alone: None, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    for name in re.findall(r"\bIMAGEGATE_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / file).read_text(encoding="utf-8")):
        monkeypatch.setenv(name, "1")

    assert unknown_settings() == []
