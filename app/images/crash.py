"""Crash points for tests: the process kills itself with SIGKILL at the one that the environment names.

`IMAGEGATE_CRASH_AT=after_dispatch:3` ends the process when it passes `after_dispatch` for the third time.
"""

import os
import signal
from functools import cache
from itertools import count
from typing import Final, Literal, get_args

Point = Literal[
    "before_reserve",
    "after_reserve",
    "before_dispatch",
    "after_dispatch",
    "after_last_byte",
    "before_settle",
    "after_settle",
    "before_release",
    "after_release",
    "before_first_byte",
    "before_pictures",
    "after_fetch",
    "after_picture",
    "after_pictures",
    "after_cuts",
]
POINTS: Final[tuple[Point, ...]] = get_args(Point)
VARIABLE: Final = "IMAGEGATE_CRASH_AT"


def crash_point(name: Point) -> None:
    """Kill this process if the environment names this point and this pass through it; otherwise do nothing."""
    chosen, pass_number, passes = _chosen()
    if name == chosen and next(passes) == pass_number:
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _chosen() -> tuple[str, int, "count[int]"]:
    """Parse the environment variable. Raises ValueError unless it is like `after_dispatch:3` or absent."""
    name, _, pass_number = os.environ.get(VARIABLE, "").partition(":")
    if name and name not in POINTS:
        raise ValueError(f"{VARIABLE} names {name!r}; there are: {', '.join(POINTS)}")
    return name, int(pass_number or 1), count(1)
