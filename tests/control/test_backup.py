"""Backups of a book in use: whole, checked, one at a time, and without a picture missing."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.blobs.folder import FolderBlobs
from app.blobs.picture_files import DIGEST_PATTERN, PictureFiles
from app.control.backup import Backup
from app.control.manifest import Manifest
from app.control.nightly import NightlyBackup, newest_due_ms
from app.core.intervals import DAY_MS, HOUR_MS
from app.errors import ConfigurationError, Conflict
from app.store.backups import BackupRows
from app.store.book_facts import facts_of_file
from app.store.engine import Database
from app.store.pictures import PictureRows
from app.store.tables import pictures
from tests.control.scene import ZONE
from tests.databases import insert, insert_request

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0\x00\x00\x00\x00IEND\xaeB`\x82"
)


@pytest.fixture
def files(tmp_path: Path) -> PictureFiles:
    (tmp_path / "kept").mkdir()
    return PictureFiles(FolderBlobs(tmp_path / "kept", DIGEST_PATTERN, "pictures"))


async def keep_picture(database: Database, files: PictureFiles, number: int) -> str:
    """Store a picture and record it; returns its digest."""
    stored = files.store([PNG, str(number).encode()])
    assert stored is not None
    row = {"id": f"req_{number}_0", "request_id": f"req_{number}", "index": 0, "user_id": "u", "project_id": "p"}
    row |= {"model": "m", "digest": stored.digest, "media_type": "image/png", "bytes": stored.size_bytes, "c2pa": 0}
    await insert(database, pictures, row | {"visibility": "private", "created_at_ms": number, "kept_until_ms": 10**15})
    return stored.digest


def silent(*_: object) -> None:
    pass


async def test_a_backup_holds_the_book_and_its_pictures_and_says_so(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path
) -> None:
    digest = await keep_picture(sqlite_database, files, 1)
    await insert_request(sqlite_database, "u", "k", state="settled", cost_micros=70_000)

    made = await Backup(sqlite_database, files).make(tmp_path / "book.db", silent)

    assert Manifest.read(tmp_path / "book.db") == made
    assert (made.totals["requests"], made.totals["booked_micros"], made.picture_files) == (1, 70_000, 1)
    assert facts_of_file(tmp_path / "book.db").totals == made.totals
    assert (tmp_path / "pictures" / digest).read_bytes() == PNG + b"1"
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "book.db", tmp_path / "book.db.json")] == [0o600] * 2
    assert (await BackupRows(sqlite_database).last()).at_ms == made.made_at_ms
    assert not list(tmp_path.glob("*.partial"))


async def test_a_picture_that_is_gone_or_damaged_is_named_and_the_rest_is_kept(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path
) -> None:
    gone, damaged, kept = [await keep_picture(sqlite_database, files, number) for number in range(3)]
    (tmp_path / "kept" / gone).unlink()
    (tmp_path / "kept" / damaged).write_bytes(PNG)

    made = await Backup(sqlite_database, files).make(tmp_path / "book.db", silent)

    assert set(made.missing) == {gone, damaged}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [kept]


async def test_no_file_of_a_picture_is_removed_while_a_backup_runs(database: Database, files: PictureFiles) -> None:
    digest, rows = await keep_picture(database, files, 1), PictureRows(database)
    assert await BackupRows(database).begin() is not None

    await files.remove([digest], rows.unnamed, lambda: rows.forget(["req_1_0"]))

    assert await rows.count() == 0
    assert files.blobs.names() == [digest]
    await BackupRows(database).end(None)
    await files.remove([digest], rows.unnamed)
    assert files.blobs.names() == []


async def test_one_backup_runs_at_a_time_and_one_that_fails_lets_the_next(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path
) -> None:
    backup = Backup(sqlite_database, files)
    assert await backup.rows.begin() is not None
    with pytest.raises(Conflict, match="Another backup"):
        await backup.make(tmp_path / "book.db", silent)
    await backup.rows.end(None)
    (tmp_path / "pictures").write_text("a file in the place of the folder")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await backup.make(tmp_path / "first.db", silent)
    (tmp_path / "pictures").unlink()

    assert not (await backup.make(tmp_path / "second.db", silent)).missing


async def test_a_file_is_never_replaced_and_a_folder_never_made(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path
) -> None:
    (tmp_path / "book.db").touch()
    for name, why in {"book.db": "is there already", "absent/book.db": "There is no folder"}.items():
        with pytest.raises(ConfigurationError, match=why):
            await Backup(sqlite_database, files).make(tmp_path / name, silent)


async def test_a_nightly_backup_is_made_once_over_all_replicas(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path
) -> None:
    nightly = NightlyBackup(Backup(sqlite_database, files), tmp_path / "nights", 3, "03:30", ZONE)
    assert await nightly.problem() == "none was made yet"

    made = await asyncio.gather(*(nightly.turn() for _ in range(4)))

    [file] = [each for each in made if each is not None]
    assert file.exists() and json.loads((tmp_path / "nights" / f"{file.name}.json").read_text())["nightly"]
    assert await nightly.turn() is None
    assert await nightly.problem() is None


async def test_of_nightly_backups_the_newest_stay_with_their_pictures(
    sqlite_database: Database, files: PictureFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = NightlyBackup(Backup(sqlite_database, files), tmp_path / "nights", 2, "03:30", ZONE)
    nightly.folder.mkdir()
    monkeypatch.setattr("app.control.nightly._UNFINISHED_S", -1.0)
    digests = []
    for number in range(4):
        digests.append(await keep_picture(sqlite_database, files, number))
        file = nightly.folder / f"imagegate-2026-11-0{number + 1}T033000.db"
        await nightly.backup.make(file, silent, due_ms=10**15)
        async with sqlite_database.transaction() as connection:
            await connection.execute(pictures.delete())
    (nightly.folder / "imagegate-2026-11-09T033000.db.partial").touch()

    nightly.prune()

    names = {path.name for path in nightly.folder.iterdir() if path.is_file()}
    kept = [f"imagegate-2026-11-0{night}T033000.db" for night in (3, 4)]
    assert names == {f"{name}{suffix}" for name in kept for suffix in ("", ".json", ".pictures")}
    assert {path.name for path in (nightly.folder / "pictures").iterdir()} == set(digests[2:])


@pytest.mark.parametrize(("hour", "due_hour"), [(4, 3.5), (3, 3.5 - 24), (3.5, 3.5)])
def test_a_backup_is_due_at_its_time_of_day_in_the_timezone(hour: float, due_hour: float) -> None:
    midnight_ms = 1_795_276_800_000 - 1_795_276_800_000 % DAY_MS - 8 * HOUR_MS

    assert newest_due_ms(midnight_ms + int(hour * HOUR_MS), "03:30", ZONE) == midnight_ms + int(due_hour * HOUR_MS)


def test_a_copy_takes_no_more_of_the_cpu_than_its_process_may() -> None:
    program = (
        "import os; from app.store.sqlite_copy import lower_priority\n"
        "os.nice(15); before = os.getpriority(os.PRIO_PROCESS, 0); lower_priority()\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0) - before)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "0", done.stderr
