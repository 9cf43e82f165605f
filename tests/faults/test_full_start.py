"""A start on a full disk: refused with the cure, before anything is opened."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = "import sys; from app.cli.root import run; sys.exit(run(['serve', '--sandbox', '--port', '0']))"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_start_on_a_full_disk_names_the_cure(full_disk: Path) -> None:
    environment = {**os.environ, "IMAGEGATE_DATA_DIR": str(full_disk / "data")}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert "KiB are free, and a start needs 1024 KiB. Make room there" in done.stderr
    assert "Traceback" not in done.stderr
