"""Command `imagegate` whose gateway never pauses a relay: experiments that let the first tries of all calls fail are about the
clients, and a breaker would end them."""

import sys

from app.cli.root import run
from app.upstream import pool
from app.upstream.breaker import BreakerRules

NEVER = 10**9

if __name__ == "__main__":
    pool.PoolRules.__init__.__defaults__ = (BreakerRules(costly_max=NEVER),)
    sys.exit(run(sys.argv[1:]))
