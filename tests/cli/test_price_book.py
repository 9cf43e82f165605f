"""imagegate prices export, import, check and sync."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.sandbox_thread import sandbox_in_a_thread

NEW = """
currency: CNY
prices:
- model: seedream-3.0
  per_image: 0.09
- model: new/model
  per_image: 1.25
  size: 1024x1024
  from: 2099-12-01
"""


def test_an_export_imported_again_changes_nothing(cli: Cli) -> None:
    cli("prices set seedream-3.0 --per-image 0.10 --quality high")
    cli("prices set seedream-3.0 --per-image 0.20")
    for name in ("book.yaml", "book.json"):
        words = "prices export --as yaml" if name == "book.yaml" else "prices export --json"
        Path(name).write_text(cli(words).out, encoding="utf-8")
        found = cli(f"prices check {name} --json").json
        assert (found["set"], found["unchanged"], found["past"]) == ([], 5, 1)


def test_a_file_is_checked_then_imported_and_then_in_the_book(cli: Cli) -> None:
    Path("new.yaml").write_text(NEW, encoding="utf-8")

    shown = cli("prices check new.yaml --json", code=1).json
    assert [
        (row["model"], _per_image(row["was"]), _per_image(row["becomes"]), row["from"]) for row in shown["set"]
    ] == [
        ("seedream-3.0", 80_000, 90_000, None),
        ("new/model", None, 1_250_000, "2099-12-01"),
    ]
    assert "0.08" in cli("prices list").out and "new/model" not in cli("prices list").out
    assert cli("prices import new.yaml --json").json["set"] == shown["set"]
    assert cli("prices import new.yaml --json").json["set"] == []
    assert "new/model" in cli("prices list").out


def _per_image(amounts: dict[str, int] | None) -> int | None:
    return None if amounts is None else amounts["per_image_micros"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prices: 5",
        "[]",
        "prices: [5]",
        "prices: [{per_image: 1}]",
        "prices: [{model: a}]",
        "prices: [{model: a, per_image: 1, ceiling_per_image: 1}]",
        "prices: [{model: a, per_image: -1}]",
        "prices: [{model: a, per_image: 0.0000001}]",
        "prices: [{model: a, per_image: 1, colour: red}]",
        "prices: [{model: a, per_image: [1]}]",
        "prices: [{model: a, per_image: 1}, {model: a, per_image: 2}]",
        "prices: [{model: a, per_image: 1, from: soon}]",
        "currency: USD\nprices: []",
        "more: 1\nprices: []",
        "prices: [",
        "a: &a [*a]",
        "!!python/object/apply:os.system [true]",
    ],
)
def test_a_file_with_anything_wrong_in_it_sets_nothing(cli: Cli, text: str) -> None:
    Path("wrong.yaml").write_text(text, encoding="utf-8")

    assert cli("prices import wrong.yaml --json", code=2).error["code"] == "invalid_value"
    cli("prices import missing.yaml", code=2)


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with sandbox_in_a_thread() as url:
        monkeypatch.setenv("IMAGEGATE_UPSTREAM_BASE_URL", url)
        monkeypatch.setenv("IMAGEGATE_UPSTREAM_DOLLAR_MICROS", "1500000")
        yield url


def prices(cli: Cli) -> dict[str, Any]:
    data = cli("prices list --json").json["data"]
    return {row["model"]: row["per_image_micros"] for row in data if row["in_force"]}


def test_the_relays_prices_are_shown_first_and_set_when_asked(cli: Cli, relay: str) -> None:
    before = prices(cli)
    shown = cli("prices sync --json").json
    assert {row["model"]: _per_image(row["becomes"]) for row in shown["set"]} == {
        "gpt-image-1": 1_500_000,
        "seedream-3.0": 120_000,
        "imagen4": 300_000,
        "flux-kontext-pro": 300_000,
        "flux-kontext-max": 600_000,
    }
    assert prices(cli) == before
    assert "prices sync --apply" in cli("prices sync").err

    cli("prices sync --apply")

    assert prices(cli)["gpt-image-1"] == 1_500_000
    assert cli("prices sync --json").json["set"] == []


def test_a_group_the_relay_does_not_have_and_a_relay_that_is_not_there_are_told(
    cli: Cli, relay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no group 'vip'; it has: default" in cli("prices sync --group vip", code=1).err
    monkeypatch.setenv("IMAGEGATE_UPSTREAM_BASE_URL", "http://127.0.0.1:9")
    error = json.loads(cli("prices sync --json", code=1).err)["error"]
    assert "/api/pricing cannot be had: NotSent" in error["message"]
