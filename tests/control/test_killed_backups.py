"""Backups that are killed midway: no half of one passes for a whole one, and nothing stands still for long because of it."""

import os
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa
from blake3 import blake3

from app.blobs.folder import FolderBlobs
from app.blobs.picture_files import DIGEST_PATTERN, PictureFiles
from app.control.backup import Backup
from app.control.manifest import Manifest
from app.errors import ConfigurationError, Conflict
from app.store.backups import RUNNING_MS, BackupRows
from app.store.book_facts import facts_of_file
from app.store.engine import Database
from app.store.pictures import PictureRows
from app.store.tables import backups, pictures
from tests import forks
from tests.control import killed_command
from tests.control.test_backup import keep_picture, silent
from tests.databases import insert_request

KILLED_AT = {
    "copying the database": ("sqlite3.connect", "imagegate.db?mode=rw", 1),
    "checking the copy": ("sqlite3.connect", "book.db.partial?mode=ro", 1),
    "naming the copy": ("os.rename", "book.db.partial", 1),
    "copying the second picture": ("os.rename", "/pictures/.", 2),
    "writing the manifest": ("os.rename", "book.db.json.partial", 1),
}
"""Event of Python's audit, part of the file's name, and which of those events."""


async def killed_backup(data_dir: Path, file: Path, event: str, part: str, number: int) -> None:
    """Run `imagegate backup` until it kills itself right before an event."""
    words = [event, part, str(number), "backup", str(file), "--data-dir", str(data_dir)]
    with (data_dir / "backup.log").open("ab") as log:
        process = await forks.fork(words, os.environ, data_dir, log.fileno(), log.fileno(), killed_command.__name__)
        assert await process.wait() == -signal.SIGKILL, (data_dir / "backup.log").read_text()


@pytest.fixture
def other_disk(tmp_path: Path) -> Path:
    (tmp_path / "other disk").mkdir()
    return tmp_path / "other disk"


@pytest.fixture
def files(tmp_path: Path) -> PictureFiles:
    """Pictures where the gateway of `sqlite_database` keeps them."""
    (tmp_path / "pictures").mkdir()
    return PictureFiles(FolderBlobs(tmp_path / "pictures", DIGEST_PATTERN, "pictures"))


@pytest.mark.parametrize("moment", KILLED_AT)
async def test_a_killed_backup_is_none_and_the_next_one_is_whole(
    moment: str, sqlite_database: Database, files: PictureFiles, tmp_path: Path, other_disk: Path
) -> None:
    kept = [await keep_picture(sqlite_database, files, number) for number in range(2)]
    await insert_request(sqlite_database, "u", "k", state="settled", cost_micros=70_000)
    rows, backup = BackupRows(sqlite_database), Backup(sqlite_database, files)

    await killed_backup(tmp_path, other_disk / "book.db", *KILLED_AT[moment])

    with pytest.raises(ConfigurationError, match="is no backup, or one that did not end"):
        Manifest.read(other_disk / "book.db")
    assert (await rows.last()).at_ms is None
    with pytest.raises(Conflict, match="ten minutes"):
        await backup.make(other_disk / "next.db", silent)
    await ten_minutes_pass(sqlite_database)
    made = await backup.make(other_disk / "next.db", silent)

    assert (made.missing, made.picture_files) == ((), 2)
    assert facts_of_file(other_disk / "next.db").totals == made.totals
    copies = {path.name: blake3(path.read_bytes()).hexdigest() for path in (other_disk / "pictures").iterdir()}
    assert copies == {name: name for name in kept}


async def test_a_killed_backup_delays_removals_for_ten_minutes_at_most(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path, other_disk: Path
) -> None:
    digest, rows = await keep_picture(sqlite_database, files, 1), PictureRows(sqlite_database)
    await killed_backup(tmp_path, other_disk / "book.db", *KILLED_AT["writing the manifest"])
    async with sqlite_database.transaction() as connection:
        await connection.execute(pictures.delete())

    await files.remove([digest], rows.unnamed)
    paused = files.blobs.names()
    await ten_minutes_pass(sqlite_database)
    await files.remove([digest], rows.unnamed)

    assert (paused, files.blobs.names()) == ([digest], [])


async def ten_minutes_pass(database: Database) -> None:
    """Set the end of the claim back by as long as a claim lasts."""
    async with database.transaction() as connection:
        earlier = backups.c.running_until_ms - RUNNING_MS
        await connection.execute(sa.update(backups).values(running_until_ms=earlier))
