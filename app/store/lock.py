"""The lock on a data directory: one server at a time on one SQLite file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ConfigurationError

FILE = "imagegate.lock"


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Held until the end of the block, or of the process, however it ends. Raises ConfigurationError when it is taken."""
    path = data_dir / FILE
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigurationError(
                f"Another imagegate (process {holder}) works on {data_dir}. Stop it first, or use another --data-dir; for several "
                "servers at once, use PostgreSQL (IMAGEGATE_DATABASE_URL)."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)
