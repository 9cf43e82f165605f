"""`python3 dev.py bench`: what the gateway costs, beside nginx and a direct connection, in interleaved rounds.

`bench micro` measures its pieces one by one, `bench reports` what usage and cost queries take over a long book,
`bench crowds` what a user notices of others that misbehave, `bench pictures` what many kept pictures cost,
`bench thumbnails` what making thumbnails costs requests, `bench forms` what keeping and converting pictures costs them,
`bench backup` what an upgrade and a backup of a long book take, and what requests notice of a backup.
Loopback only. No figure is asserted, but the books are: they are checked after every measurement, and the run fails where
they do not agree.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.certificate import certify
from benchmarks.compare import checked_out
from benchmarks.medians import Row, rows
from benchmarks.plot import draw
from benchmarks.processes import Upstream, running_upstream
from benchmarks.results import about_this_run, write_json
from benchmarks.rounds import Bench, Measurement, complaints, say
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.table import comparison, table
from benchmarks.targets import ROOT, Direct, Imagegate, Nginx, Target, nginx_program, stop_all
from tests.servers import PostgresServer, RedisServer

CLUSTERS = {"postgresql": 1, "two": 2, "four": 4}
"""How many processes, on one PostgreSQL and one Redis."""
TARGETS = ("direct", "nginx", "sqlite", *CLUSTERS)
BEFORE, AFTER = "before", "after"


class DurablePostgres(PostgresServer):
    """One that keeps what it has committed, as a real one does; the tests' own is faster."""

    def _command(self) -> list[str | Path]:
        durable = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
        return [*super()._command(), *(word for setting in durable for word in ("-c", setting))]


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # What was started is stopped then, too.
    try:
        return _main()
    except KeyboardInterrupt:
        return 130


def _main() -> int:
    parts = {
        name: f"benchmarks.{name}"
        for name in ("micro", "reports", "crowds", "pictures", "thumbnails", "forms", "console", "backup")
    }
    if len(sys.argv) > 1 and sys.argv[1] in parts:
        from importlib import import_module

        return int(import_module(parts[sys.argv[1]]).main(sys.argv[2:]))
    given = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_bench(given, Path(folder)))


def _parser() -> argparse.ArgumentParser:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python3 dev.py bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n" + "\n".join(f"  {scenario.name:8} {scenario.what}" for scenario in SCENARIOS),
    )  # fmt: skip
    parser.add_argument("--scenario", action="append", choices=names, help="one of them; may be given again; else all")
    parser.add_argument("--target", action="append", choices=TARGETS, help="as --scenario")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--compare", metavar="REF", help="this checkout against that commit, on SQLite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every measurement")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a plot for the README")
    return parser


async def _bench(given: argparse.Namespace, folder: Path) -> int:
    found: list[Measurement] = []
    async with AsyncExitStack() as stack:
        certificate = await asyncio.to_thread(certify, folder)
        upstream = await stack.enter_async_context(running_upstream(certificate))
        scenarios = _scenarios(given.scenario, upstream)
        if given.compare:
            targets = await _both(stack, given.compare, folder, upstream)
        else:
            targets = await _targets(stack, given.target or list(TARGETS), folder, upstream)
        stack.push_async_callback(stop_all, targets)
        bench = Bench(targets, upstream, folder)
        for target in targets:
            say(f"starting {target.name}")
            await bench.prepare(target)
        for scenario in scenarios:
            measured = await bench.run(scenario, given.rounds)
            found += measured
            _print(scenario, rows(measured), compared=bool(given.compare))
    if given.json:
        write_json(given.json, about_this_run(given.rounds), found)
    if given.svg:
        given.svg.write_text(
            draw({scenario: rows([m for m in found if m.scenario == scenario.name]) for scenario in scenarios})
        )
    wrong = complaints(found)
    for words in wrong:
        say(words)
    return 1 if wrong else 0


def _scenarios(names: list[str] | None, upstream: Upstream) -> list[Scenario]:
    chosen = [one for one in SCENARIOS if names is None or one.name in names]
    if upstream.certificate is None and any(one.tls for one in chosen):
        say("there is no openssl on the PATH, so the relay has no certificate; going on without TLS")
        return [one for one in chosen if not one.tls]
    return chosen


def _print(scenario: Scenario, found: list[Row], *, compared: bool) -> None:
    print(f"\n{scenario.name}: {scenario.what}")
    print(comparison(scenario, found) if compared else table(scenario, found), flush=True)


async def _targets(stack: AsyncExitStack, names: list[str], folder: Path, upstream: Upstream) -> list[Target]:
    targets: list[Target] = []
    if "direct" in names:
        targets.append(Direct(upstream))
    if "nginx" in names and (program := nginx_program()):
        targets.append(Nginx(program, folder / "nginx", upstream))
    elif "nginx" in names:
        say("there is no nginx on the PATH or in IMAGEGATE_BENCH_NGINX; going on without")
    gateways = [Imagegate("imagegate", folder / "sqlite", upstream)] if "sqlite" in names else []
    if clusters := [name for name in CLUSTERS if name in names]:
        postgres = stack.enter_context(DurablePostgres())
        redis = stack.enter_context(RedisServer())
        for name in clusters:
            url, count = await postgres.create_database(), CLUSTERS[name]
            title = "imagegate, PostgreSQL + Redis" if count == 1 else f"{name} of them"
            database = f"{redis.url[:-1]}{count}"  # Of its own in the same Redis.
            gateways.append(
                Imagegate(title, folder / name, upstream, database_url=url, redis_url=database, processes=count)
            )
    await asyncio.gather(*(gateway.set_up() for gateway in gateways))
    return [*targets, *gateways]


async def _both(stack: AsyncExitStack, ref: str, folder: Path, upstream: Upstream) -> list[Target]:
    before = await stack.enter_async_context(checked_out(ref, folder / "checkout"))
    gateways = [Imagegate(name, folder / name, upstream, root=root) for name, root in ((BEFORE, before), (AFTER, ROOT))]
    await asyncio.gather(*(gateway.set_up() for gateway in gateways))
    return list(gateways)


if __name__ == "__main__":
    sys.exit(main())
