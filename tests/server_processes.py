"""Stopping a server with all its children, also after the test run that started it has died.

Run as a program this file is the guard of one server: it waits on a pipe from the test run, which closes when the run
ends, however it ends.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

STOP_S = 5


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants, itself first; nothing when it is gone."""
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(members: Iterable[psutil.Process], number: signal.Signals) -> None:
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(number)


def stop(pid: int) -> None:
    """Ask a server, frozen or not, to end in good order, and kill what is left of it a few seconds later."""
    members = family(pid)
    send(members, signal.SIGCONT)
    send(members[:1], signal.SIGINT)
    wait_until(lambda: all(map(has_ended, members)), STOP_S)
    kill(members)


def kill(members: list[psutil.Process]) -> None:
    send(members, signal.SIGKILL)
    wait_until(lambda: all(map(has_ended, members)), STOP_S)


def has_ended(process: psutil.Process) -> bool:
    """Count one that has ended but was not collected, too: the collector of orphans takes its time in a container."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_until(happened: Callable[[], bool], seconds: float) -> None:
    """Return when it has happened or the time is up. Other programs do not tell when they are ready: one has to ask."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.005)


def guard(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start the guard of a server. It acts when its stdin closes, and not at all when it is killed first."""
    command = [sys.executable, "-I", __file__, str(pid), str(folder)]
    # In a session of its own no Ctrl-C meant for the tests reaches it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    stop(int(sys.argv[1]))
    shutil.rmtree(sys.argv[2], ignore_errors=True)
