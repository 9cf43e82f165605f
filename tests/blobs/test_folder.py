"""Answers in a directory."""

import asyncio
import os
from pathlib import Path

import pytest

from app.blobs.folder import FolderBlobs
from app.spool import whole


async def test_an_answer_that_was_written_leaves_the_memory_and_can_still_be_read(tmp_path: Path) -> None:
    files = FolderBlobs(tmp_path)
    spool, body = files.create("req_1"), os.urandom(1024 * 1024)
    spool.write(body)
    path = tmp_path / "req_1"
    if _in_memory(path) is None:
        pytest.skip("this file system cannot say what is in memory")
    assert _in_memory(path)
    async with asyncio.timeout(30):
        while _in_memory(path):  # The disk may take its time, so it is asked for again.
            await files.share("req_1", 0)
            await files.cool()
    assert b"".join(whole(spool)) == body
    spool.close()


def _in_memory(path: Path) -> bool | None:
    """Whether the first page of a file is in the page cache; None where the system does not tell."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(4096)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except (OSError, AttributeError):
        return None
    finally:
        os.close(fd)
    return True
