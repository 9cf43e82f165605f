"""Every query of the dashboard and of the alert rules asks for metrics and labels that a gateway has."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import dev
from app.sandbox import RunningSandbox
from tests.metrics.scraping import Watched, samples

DASHBOARD = json.loads((dev.ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = dev.ROOT / "deploy" / "prometheus-rules.yml"
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that the scrape itself, or a histogram, brings."""
METRIC = re.compile(r"\b((?:imagegate|process)_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")


def panel_queries() -> Iterator[tuple[str, str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


@pytest.fixture
def watched_settings(tmp_path: Path) -> dict[str, Any]:
    return {"backup_dir": tmp_path / "nights"}


async def test_every_query_asks_for_what_a_gateway_shows(watched: Watched, relay: RunningSandbox) -> None:
    await watched.add_refusing_relay(relay.base_url)
    for prompt in ("a lighthouse", "[[sandbox body=garbage]]", "[[sandbox error=wallet]]"):
        await watched.buy(prompt)
    await watched.running.limit("user", "lin", "images", "day", 0)
    await watched.buy()
    watched.running.gateway.image_service.draining = True
    await watched.buy()
    watched.running.gateway.image_service.draining = False
    await watched.refresh()
    await watched.running.gateway.reconciliations.run()
    await watched.running.gateway.chores.run_once("reconciliation")
    shown: dict[str, list[dict[str, str]]] = defaultdict(list)
    for sample in samples(await watched.scrape()):
        shown[sample.name].append(sample.labels)
    queries = [*panel_queries(), *((rule["alert"], rule["expr"], said(rule)) for rule in rules())]

    assert len(queries) > 50
    assert [problem for query in queries for problem in problems(*query, shown)] == []


def said(rule: dict[str, str]) -> str:
    """The labels that the words of an alert show, in the form of a legend."""
    return re.sub(r"\$labels\.(\w+)", r"\1", str(rule["annotations"]))


def problems(where: str, query: str, legend: str, shown: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    known = set(OF_PROMETHEUS)
    for name, matchers in METRIC.findall(query):
        if name not in shown:
            yield f"{where}: no {name}"
            continue
        labels = {label for each in shown[name] for label in each}
        known |= labels
        for label, sign, value in re.findall(r'(\w+)\s*(=~|!=|=)\s*"([^"]*)"', matchers):
            if label not in labels | OF_PROMETHEUS:
                yield f"{where}: {name} has no label {label}"
            elif label not in OF_PROMETHEUS and sign != "!=" and not value.startswith("$"):
                values = {each.get(label, "") for each in shown[name]}
                yield from (f"{where}: no {name} with {label} {one}" for one in value.split("|") if one not in values)
    grouped = {label.strip() for labels in GROUPING.findall(query) for label in labels.split(",") if label.strip()}
    yield from (f"{where}: no label {label}" for label in grouped - known)
    yield from (
        f"{where}: its words show {label}" for label in re.findall(r"\{\{\s*(\w+)", legend) if label not in known
    )


def test_panels_have_their_own_places_and_names() -> None:
    panels = DASHBOARD["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_prometheus_itself_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here (on Debian: apt-get install prometheus): the syntax of the rules is NOT tested")

    checked = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout + checked.stderr
