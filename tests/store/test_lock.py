"""Locks that end with their process."""

import asyncio
import sys
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.store.lock import ProcessLocks, locked

HOLD = """
import sys, time
from pathlib import Path
from app.store.lock import ProcessLocks
held = ProcessLocks(Path(sys.argv[1]), "proc_other")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_directory_is_locked_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ConfigurationError, match="Another imagegate"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


async def test_a_neighbour_is_dead_as_soon_as_its_process_is(tmp_path: Path) -> None:
    me = ProcessLocks(tmp_path, "proc_me")
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(tmp_path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    await other.stdout.readline()

    living = me.dead_ids()
    other.kill()
    await other.wait()
    dead = me.dead_ids()
    me.forget(dead)

    assert (living, dead, me.dead_ids()) == ([], ["proc_other"], [])
    me.release()
    assert list(tmp_path.iterdir()) == []
