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
    assert (
        told.message
        == f"These names are not settings and have no effect: {names}. All settings are in docs/settings.md."
    )


def test_a_line_that_holds_a_secret_by_mistake_is_not_told(alone: None) -> None:
    Path(".env").write_text("IMAGEGATE_UPSTREAM_API_KEY:sk-secret\nIMAGEGATE_SECRET_KEYabc\nIMAGEGATE_A-b=1\n")

    assert unknown_settings() == []


def test_what_kubernetes_tells_of_a_service_of_our_name_is_no_mistake(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8080_TCP", "PORT_8080_TCP_ADDR", "DB_SERVICE_HOST"):
        monkeypatch.setenv(f"IMAGEGATE_{name}", "10.0.0.1")

    assert unknown_settings() == []


@pytest.mark.parametrize("file", [".env.example", "docker-compose.yml", "docs/recipes/README.md", "README.md"])
def test_no_name_that_users_are_told_of_is_unknown(alone: None, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    for name in re.findall(r"\bIMAGEGATE_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / file).read_text(encoding="utf-8")):
        monkeypatch.setenv(name, "1")

    assert unknown_settings() == []
