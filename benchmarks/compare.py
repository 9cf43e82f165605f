"""Another commit beside this checkout, in the same environment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.targets import ROOT


@asynccontextmanager
async def checked_out(ref: str, folder: Path) -> AsyncIterator[Path]:
    """A worktree of that commit, removed at the end. Raises RuntimeError for a ref git does not know."""
    await _git("worktree", "add", "--detach", "--quiet", str(folder), ref)
    try:
        yield folder
    finally:
        await _git("worktree", "remove", "--force", str(folder))


async def _git(*words: str) -> None:
    process = await asyncio.create_subprocess_exec("git", "-C", ROOT, *words, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    if process.returncode:
        raise RuntimeError(told.decode().strip())
