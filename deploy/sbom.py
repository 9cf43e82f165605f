"""Writes sbom.json, a bill of materials (CycloneDX) of what `requirements.lock` installs, and docs/licences.md from it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dev

FILE = dev.ROOT / "sbom.json"
PAGE = dev.ROOT / "docs" / "licences.md"
HEAD = """\
<!-- Made by `python3 dev.py sbom`. -->
# Licences

imagegate itself is under the [MIT licence](../LICENSE). It installs these packages, with what they say of themselves; the versions
are in `requirements.lock`. Some are installed on some systems only.

| package | licence |
|---|---|
"""
SHORT = 40
"""Characters above which a licence is its whole text instead of a name."""


def licences(component: dict[str, Any]) -> str:
    """Return the licences that a package declares: SPDX names where it has them."""
    names = [
        entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
        for entry in component.get("licenses", [])
    ]
    short = [name for name in names if len(name) <= SHORT and "\n" not in name and "::" not in name]
    classified = [name.rpartition(":: ")[2] for name in names if "::" in name]
    return ", ".join(sorted(set(short or classified))) or "see its files"


def main() -> None:
    # A folder of its own: .venv also holds what only developers need.
    python = dev.prepare(dev.ROOT / ".venv-sbom", dev.RUN_LOCK)
    program = Path(sys.executable).with_name("cyclonedx-py")
    options = (
        "--pyproject",
        "pyproject.toml",
        "--mc-type",
        "application",
        "--output-reproducible",
        "--output-format",
        "JSON",
    )
    subprocess.run([program, "environment", *options, "--output-file", FILE, python], check=True)
    components = json.loads(FILE.read_text(encoding="utf-8"))["components"]
    rows = sorted((re.sub(r"[-_.]+", "-", component["name"]).lower(), licences(component)) for component in components)
    PAGE.write_text(HEAD + "".join(f"| {name} | {licence} |\n" for name, licence in rows), encoding="utf-8")
    print(f"{FILE.name}: {len(rows)} packages; {PAGE.relative_to(dev.ROOT)}")


if __name__ == "__main__":
    main()
