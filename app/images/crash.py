"""Named points at which a test lets this process die as `kill -9` would have it; they do nothing unless one is named.

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
]
POINTS: Final[tuple[Point, ...]] = get_args(Point)
VARIABLE: Final = "IMAGEGATE_CRASH_AT"


def crash_point(name: Point) -> None:
    """Kill this process at the point and the passing that the environment names; otherwise do nothing."""
    chosen, at, passings = _chosen()
    if name == chosen and next(passings) == at:
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _chosen() -> tuple[str, int, "count[int]"]:
    """Read at the first passing. Raises ValueError where the variable is not like `after_dispatch:3`."""
    name, _, at = os.environ.get(VARIABLE, "").partition(":")
    if name and name not in POINTS:
        raise ValueError(f"{VARIABLE} names {name!r}; there are: {', '.join(POINTS)}")
    return name, int(at or 1), count(1)
