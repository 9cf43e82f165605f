"""`python3 dev.py storm`: random requests, every fault of a relay, kills; and the proof that the books held."""

import argparse
import asyncio
import importlib
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from tests.storm.run import Options, Outcome, run_seed
from tests.storm.stage import set_stage
from tests.storm.story import tell

EXPERIMENTS = {
    "clients": "tests.storm.clients",
    "killed-client": "tests.storm.killed_client",
    "handover": "tests.storm.handover",
}
"""Each has options of its own: `python3 dev.py storm clients --help`."""


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in EXPERIMENTS:
        experiment = importlib.import_module(EXPERIMENTS[sys.argv[1]])
        return int(experiment.main(sys.argv[2:]))
    given = _parser().parse_args()
    if given.prove is not None:
        from tests.storm.prove import prove

        return prove(given.prove)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # The judge's, not a gateway's.
    with tempfile.TemporaryDirectory(prefix="imagegate-storm-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_storm(given, Path(folder)))


async def _storm(given: argparse.Namespace, folder: Path) -> int:
    options = Options(given.processes, given.kills, given.requests, given.without_replay, given.relays)
    outcomes: list[Outcome] = []
    start = time.monotonic()
    async with set_stage(given.database, folder, given.limit) as stage:
        for number in range(given.seeds):
            outcome = await run_seed(stage, str(given.seed + number), options)
            outcomes.append(outcome)
            print(_line(outcome, given.database), file=sys.stderr if given.json else sys.stdout, flush=True)
            if outcome.violations:
                print(tell(outcome), file=sys.stderr)
                print(f"\nAgain with: python3 dev.py storm {_again(given, outcome.seed)}", file=sys.stderr)
                if not given.keep_going:
                    break
    summary = _summary(outcomes, time.monotonic() - start)
    print(json.dumps(summary) if given.json else _sentence(summary))
    return 1 if summary["violations"] else 0


def _parser() -> argparse.ArgumentParser:
    more = f"Experiments with options of their own: {', '.join(EXPERIMENTS)}."
    parser = argparse.ArgumentParser(prog="python3 dev.py storm", description=__doc__, epilog=more)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--processes", type=int, default=3, help="gateways; on SQLite there is one")
    parser.add_argument(
        "--limit", type=int, default=60, help="what the organization may spend, in whole units of money"
    )
    parser.add_argument("--kills", type=int, default=10, help="kill -9 of gateways, PostgreSQL and Redis")
    parser.add_argument("--requests", type=int, default=100, help="logical calls of clients")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--relays", type=int, choices=(1, 2), help="how many; else each seed draws")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    parser.add_argument(
        "--without-replay", action="store_true", help="do not hold it against the gateway that a retry buys again"
    )
    parser.add_argument(
        "--prove", nargs="*", metavar="MUTATION", help="prove the machine: break the gateway and see that it is noticed"
    )
    return parser


def _line(outcome: Outcome, database: str) -> str:
    states, tries = outcome.states(), sum(len(tries) for tries in outcome.tries.values())
    booked = ", ".join(f"{states[name]} {name}" for name in sorted(states))
    charged = sum(line.charged for line in outcome.bill)
    good = sum(one.status == 200 and one.whole for tries in outcome.tries.values() for one in tries)
    served = sum(one.served for tries in outcome.tries.values() for one in tries)
    relays = "2 relays" if outcome.plan.relays.second else "1 relay"
    verdict = "ok" if not outcome.violations else f"{len(outcome.violations)} VIOLATIONS"
    return (
        f"seed {outcome.seed} {database} {relays} {outcome.seconds:.1f} s: {len(outcome.plan.calls)} calls, {tries} tries, "
        f"{good} good; {charged} charged, {served} served again; {booked}, {outcome.reconciled} reconciled; "
        f"{outcome.deaths} kills, {outcome.samples} samples: {verdict}"
    )


def _summary(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    return {
        "seeds": len(outcomes),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "kills": sum(outcome.deaths for outcome in outcomes),
        "calls": sum(len(outcome.plan.calls) for outcome in outcomes),
        "tries": sum(len(tries) for outcome in outcomes for tries in outcome.tries.values()),
        "charged": sum(line.charged for outcome in outcomes for line in outcome.bill),
        "samples": sum(outcome.samples for outcome in outcomes),
        "seconds": round(seconds, 1),
        "failed_seeds": [outcome.seed for outcome in outcomes if outcome.violations],
    }


def _sentence(summary: dict[str, Any]) -> str:
    return (
        f"{summary['seeds']} seeds in {summary['seconds']} s: {summary['calls']} calls in {summary['tries']} tries, "
        f"{summary['charged']} charged, {summary['kills']} kills, {summary['samples']} samples, {summary['violations']} violations"
    )


def _again(given: argparse.Namespace, seed: str) -> str:
    words = f"--seed {seed} --processes {given.processes} --limit {given.limit} --kills {given.kills}"
    words += f" --requests {given.requests} --database {given.database}"
    words += f" --relays {given.relays}" if given.relays else ""
    return words + (" --without-replay" if given.without_replay else "")


if __name__ == "__main__":
    sys.exit(main())
