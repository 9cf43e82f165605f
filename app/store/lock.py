"""Locks on files of a data directory: they end with the process that holds them, however it ends, and no clock is needed."""

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import ConfigurationError

FILE = "imagegate.lock"


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock until the block or the process ends, however that happens. Raises ConfigurationError when it is taken."""
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


class ProcessLocks:
    """The processes of one data directory. A lock that can be had is that of a dead one: its rows need not wait for 30 s of
    silence. Replicas that share no directory do not see each other here."""

    def __init__(self, directory: Path, own: str):
        """Takes the lock of the process `own`."""
        self._directory = directory
        self._own = directory / own
        self._met: set[str] = {own}
        self._fd = os.open(self._own, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.pwrite(self._fd, _boot().encode(), 0)

    def dead(self) -> list[str]:
        """Ids of dead processes, until `forget`."""
        return [path.name for path in self._look() if path != self._own and _free(path)]

    def met(self) -> frozenset[str]:
        """Ids of all processes that are, or were seen, in this directory."""
        self._look()
        return frozenset(self._met)

    def forget(self, ids: Iterable[str]) -> None:
        for name in ids:
            (self._directory / name).unlink(missing_ok=True)

    def leave(self) -> None:
        """Idempotent."""
        with suppress(OSError):
            os.close(self._fd)
        self._own.unlink(missing_ok=True)

    def _look(self) -> list[Path]:
        paths = list(self._directory.iterdir())
        self._met.update(path.name for path in paths)
        return paths


def _free(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if os.pread(fd, 64, 0).decode(errors="replace") != _boot():
            return False  # Of another machine: its locks may not be seen here, so its beats decide.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _boot() -> str:
    """Tells one running system from another; empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
