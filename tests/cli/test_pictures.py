"""imagegate pictures: the same here and from another machine, and files that hold what the relay sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from app.core.intervals import DAY_MS
from app.store.engine import Database
from app.store.organization import list_users
from app.store.tables import pictures
from tests.administration import list_keys
from tests.cli.conftest import Cli
from tests.cli.targets import Targets, both_targets
from tests.databases import insert, insert_request

BYTES = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4000
REQUEST = f"req_{'7' * 28}"
FIRST, SECOND = f"{REQUEST}_0", f"{REQUEST}_1"
SIDES = ("here", "there")


@pytest.fixture
def targets(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Targets]:
    """Both on one database, with a request of lin's and its two pictures."""
    with both_targets(empty_cli, monkeypatch, "data", "http://127.0.0.1:9") as both:
        both.here("users create lin")
        both.here("keys create --user lin")
        empty_cli.database(two_pictures)
        for data in (BYTES, BYTES[::-1]):
            (empty_cli.data / "pictures" / blake3(data).hexdigest()).write_bytes(data)
        yield both


async def two_pictures(database: Database) -> None:
    [user] = await database.ask(list_users)
    [key] = await list_keys(database)
    made_ms = await database.now_ms()
    await insert_request(
        database, user.id, key.id, id=REQUEST, state="settled", prompt="a red cat", cost_micros=2_000_000
    )
    for index, data in enumerate((BYTES, BYTES[::-1])):
        row = {
            "id": f"{REQUEST}_{index}",
            "request_id": REQUEST,
            "index": index,
            "user_id": user.id,
            "project_id": "proj_default",
            "model": "gpt-image-1",
            "digest": blake3(data).hexdigest(),
            "media_type": "image/png",
            "bytes": len(data),
            "c2pa": 0,
            "visibility": "private",
            "created_at_ms": made_ms + index,
            "kept_until_ms": made_ms + DAY_MS,
        }
        await insert(database, pictures, row)


@pytest.mark.parametrize("side", SIDES)
def test_pictures_are_found_and_saved_byte_for_byte(targets: Targets, side: str) -> None:
    run, folder = getattr(targets, side), targets.cli.folder

    listed = run("pictures list --user lin --words cat --json").json["data"]
    run(f"pictures save {FIRST} {SECOND} --to out/new")
    run(f"pictures save {FIRST} --to plain")
    saved = run(f"pictures save {FIRST} --to one.png --json").json["data"]
    in_folder = run(f"pictures save {FIRST} --to fresh/ --json").json["data"]

    assert [(each["id"], each["prompt"]) for each in listed] == [(SECOND, "a red cat"), (FIRST, "a red cat")]
    assert run(f"pictures show {FIRST} --json").json == listed[1]
    assert (folder / f"out/new/{FIRST}.png").read_bytes() == (folder / "one.png").read_bytes() == BYTES
    assert (folder / f"out/new/{SECOND}.png").read_bytes() == BYTES[::-1]
    assert (folder / f"plain/{FIRST}.png").read_bytes() == BYTES
    assert (saved[0]["file"], saved[0]["bytes"]) == ("one.png", len(BYTES))
    assert in_folder[0]["file"] == f"fresh/{FIRST}.png"
    assert (folder / f"fresh/{FIRST}.png").read_bytes() == BYTES
    log = run("audit-log --event picture.opened --limit 100 --json").json["data"]
    parts = [each["after"]["part"] for each in log]
    assert (parts.count("content"), parts.count("prompt")) == (5, 1)


@pytest.mark.parametrize("side", SIDES)
def test_no_file_is_overwritten_and_nothing_is_left_of_what_failed(targets: Targets, side: str) -> None:
    run, file = getattr(targets, side), targets.cli.folder / "mine.png"
    file.write_text("mine")
    before = sorted(targets.cli.folder.iterdir())

    refused = run(f"pictures save {FIRST} --to mine.png --json", code=2).error
    run(f"pictures save {FIRST} {SECOND} --to mine.png", code=2)
    assert "`imagegate pictures list" in run("pictures save req_none_0", code=3).err
    run("pictures save req_none_0 --to mine.png --force", code=3)

    assert refused["message"].startswith("mine.png is there already")
    assert file.read_text() == "mine"
    assert sorted(targets.cli.folder.iterdir()) == before
    run(f"pictures save {FIRST} --to mine.png --force")
    assert file.read_bytes() == BYTES


@pytest.mark.parametrize("side", SIDES)
def test_what_is_deleted_or_pruned_is_gone_from_the_disk(
    targets: Targets, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    run, folder = getattr(targets, side), targets.cli.data / "pictures"

    assert "deleted for good: 1." in run(f"pictures delete {FIRST}").err
    would = run("pictures prune --dry-run --json").json
    targets.cli.database(_expire)
    went = run("pictures prune --json").json

    assert would["pictures"] == 0
    assert (went["pictures"], went["file_bytes"], went["has_more"]) == (1, len(BYTES), False)
    assert [path for path in folder.iterdir() if path.is_file()] == []
    assert run("pictures list --json").json["data"] == []


async def _expire(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(pictures.update().values(kept_until_ms=1))


def test_a_command_here_makes_no_folder_for_pictures(cli: Cli) -> None:
    folder: Path = cli.data / "pictures"
    assert not folder.exists()

    cli("pictures list")
    cli("pictures prune")
    cli("pictures save req_none_0", code=3)

    assert not folder.exists()
