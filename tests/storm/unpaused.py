"""Command `imagegate` whose gateway never pauses a relay: experiments that let the first tries of all calls fail are about the
clients, and a breaker would end them."""

from collections.abc import Sequence

from app.cli import root
from app.upstream import pool
from app.upstream.breaker import BreakerRules

NEVER = 10**9


def run(arguments: Sequence[str]) -> int:
    pool.PoolRules.__init__.__defaults__ = (BreakerRules(costly_max=NEVER),)
    return root.run(arguments)
