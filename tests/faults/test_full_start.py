"""Starts: on a full disk, refused with the cure before anything is opened; on data that others can read, which is made private."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import StartGateway

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


async def test_a_start_makes_a_directory_and_a_book_private_that_others_could_read(
    gateways: StartGateway, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        await gateways()
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path, *tmp_path.glob("*.db*"))}
    assert modes == {tmp_path.name: 0o700} | dict.fromkeys(
        ("imagegate.db", "imagegate.db-shm", "imagegate.db-wal"), 0o600
    )
