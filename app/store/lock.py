"""File locks in a data directory. The system releases them when their process ends in any way, so they need no timeout."""

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import ConfigurationError

LOCK_FILE = "imagegate.lock"


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock of a data directory until the block or the process ends. Raises ConfigurationError when it is held already."""
    path = data_dir / LOCK_FILE
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


class ProcessLocks:
    """Lock files of the processes of one data directory. A file that is not locked belongs to a dead process, so its requests are
    recovered without waiting for 30 s without a heartbeat. Replicas that share no directory do not see each other here."""

    def __init__(self, directory: Path, own: str):
        """Take the lock of this process, whose id is `own`."""
        self._directory = directory
        self._own = directory / own
        self._seen: set[str] = {own}
        self._fd = os.open(self._own, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.pwrite(self._fd, _boot_id().encode(), 0)

    def dead_ids(self) -> list[str]:
        """List the ids of dead processes, until `forget` removes them."""
        return [path.name for path in self._list_files() if path != self._own and _is_unlocked(path)]

    def seen_ids(self) -> frozenset[str]:
        """List the ids of all processes with a file in this directory now or earlier."""
        self._list_files()
        return frozenset(self._seen)

    def forget(self, ids: Iterable[str]) -> None:
        for name in ids:
            (self._directory / name).unlink(missing_ok=True)

    def release(self) -> None:
        """Release the lock and remove its file. Idempotent."""
        with suppress(OSError):
            os.close(self._fd)
        self._own.unlink(missing_ok=True)

    def _list_files(self) -> list[Path]:
        paths = list(self._directory.iterdir())
        self._seen.update(path.name for path in paths)
        return paths


def _is_unlocked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if os.pread(fd, 64, 0).decode(errors="replace") != _boot_id():
            return False  # From another machine: its lock may not be visible here, so its heartbeats decide.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _boot_id() -> str:
    """Identify the running system: its boot id, or its host name without one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
