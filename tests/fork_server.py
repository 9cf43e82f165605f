"""Starts commands of `imagegate` in a tenth of a second instead of one: everything is imported once, and each command is a fork.

Reads orders from the socket that is its stdin, see `tests.forks`. When that closes, it kills all that it started, and ends.
"""

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from typing import Any

PRELOADED = (
    "aiosqlite",
    "alembic.command",
    "asyncpg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvloop",
    "app.cli.commands",
    "app.cli.local",
    "app.cli.logs",
    "app.cli.root",
    "app.cli.welcome",
    "app.control.backup",
    "app.control.installation",
    "app.control.pepper",
    "app.control.restore",
    "app.main",
    "app.rates.redis",
    "app.server",
    "app.store.migrations",
    "app.wiring",
)
ORDER_BYTES_MAX = 1 << 20
DESCRIPTORS_MAX = 1 << 12
_DIE_WITH_PARENT = 1


def main() -> None:
    os.umask(0o022)  # The usual one: a test looks at who may read what a command makes.
    for name in PRELOADED:
        importlib.import_module(name)
    orders = socket.socket(fileno=sys.stdin.fileno())
    running: dict[int, int] = {}
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, ORDER_BYTES_MAX)
            _bury(running)
        if orders.fileno() in ready:
            order, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 3)
            if not order:
                break
            while not order.endswith(b"\n"):
                order += orders.recv(ORDER_BYTES_MAX)
            out, err, status = descriptors
            pid = _start(json.loads(order), out, err)
            running[pid] = status
            os.close(out)
            os.close(err)
            orders.sendall(f"{pid}\n".encode())
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _start(order: dict[str, Any], out: int, err: int) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        _become(order, out, err)
        code = importlib.import_module(order["module"]).run(order["arguments"])
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException as exc:  # A fork must never return into the loop of its parent.
        print(f"failed: {exc!r} at {traceback.format_exc()[-2000:]!r}", file=sys.stderr)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become(order: dict[str, Any], out: int, err: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for new, old in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(new, old)
    os.closerange(3, DESCRIPTORS_MAX)  # Those of its siblings among them.
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    tempfile.tempdir = None
    sys.argv = ["imagegate", *order["arguments"]]


def _bury(running: dict[int, int]) -> None:
    """Tell the exit code (negative: the signal) of each that has ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(told)


if __name__ == "__main__":
    main()
