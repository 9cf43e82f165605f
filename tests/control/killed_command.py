"""Command that kills itself, as the module of a fork: `tests.forks`."""

import os
import signal
import sys
from typing import Any

from app.cli import root


def run(words: list[str]) -> int:
    """Run a command until right before an event of Python's audit: its name, part of a file's name, and which, the first words."""
    event, part, left = words[0], words[1], int(words[2])

    def hear(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if name == event and part in os.fsdecode(arguments[0]) and (left := left - 1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    return root.run(words[3:])
