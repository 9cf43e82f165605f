"""The systemd unit and the Kubernetes manifest, as their own tools and the gateway's settings have it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import dev
from app.settings import Settings

UNIT = dev.ROOT / "deploy" / "imagegate.service"
MANIFEST = dev.ROOT / "deploy" / "kubernetes.yaml"
SETTINGS = Settings(_env_file=None)
OLDEST_KUBERNETES = "1.30"


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))


def of_kind(kind: str) -> dict[str, Any]:
    [found] = [document for document in documents() if document["kind"] == kind]
    return found


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here: the unit is NOT tested")
    unit = tmp_path / "imagegate.service"
    # It looks whether the program is there.
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/imagegate/.venv/bin/imagegate", "/bin/true"))

    checked = subprocess.run([program, "verify", unit], capture_output=True, text=True)

    about_it = [line for line in (checked.stdout + checked.stderr).splitlines() if "imagegate" in line]
    assert (checked.returncode, about_it) == (0, [])


def test_systemd_waits_for_what_is_paid_for() -> None:
    lines = dict(
        line.split("=", 1) for line in UNIT.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"
    )

    assert int(lines["TimeoutStopSec"]) > SETTINGS.drain_s


@pytest.mark.parametrize("document", documents(), ids=lambda document: document["kind"])
@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, "newest"])
def test_kubernetes_takes_each_object(document: dict[str, Any], version: str) -> None:
    import kubernetes_validate  # Takes seconds, in whoever collects this file.

    known = kubernetes_validate.latest_version() if version == "newest" else version
    kubernetes_validate.validate(document, known, strict=True)


def test_kubernetes_waits_for_what_is_paid_for() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] > SETTINGS.drain_s


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_a_container_has_no_more_rights_than_it_needs(kind: str) -> None:
    pod = of_kind(kind)["spec"]["template"]["spec"]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsUser"] == 10001  # That of the Dockerfile.
    assert "--uid 10001" in (dev.ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data", "/tmp"]


def test_the_manifest_sets_only_settings_there_are() -> None:
    set_there = of_kind("ConfigMap")["data"]
    in_secret = re.findall(r"--from-literal=(\w+)=", MANIFEST.read_text(encoding="utf-8"))
    names = {f"IMAGEGATE_{name.upper()}" for name in Settings.model_fields}

    assert set(set_there) <= names
    assert set(in_secret) <= names and len(in_secret) == 6
    assert {"/healthz", "/readyz"} == {
        of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0][f"{probe}Probe"]["httpGet"]["path"]
        for probe in ("startup", "liveness", "readiness")
    }


def test_migration_comes_first_and_is_selected_alone() -> None:
    alone = [document["kind"] for document in documents() if document["metadata"]["labels"].get("step") == "migrate"]

    assert alone == ["ConfigMap", "Job"]
    assert of_kind("Job")["spec"]["template"]["spec"]["containers"][0]["args"] == ["db", "upgrade"]
