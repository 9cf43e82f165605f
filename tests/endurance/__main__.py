"""`python3 dev.py faults`: half an hour of steady load with a fault every few seconds, and the proof that the books held."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.endurance.run import Options, run, write_report

EVERY_S = 5.0
EVERY_KILL_S = 20.0


def main() -> int:
    given = _parser().parse_args()
    every_s = given.every or (EVERY_KILL_S if given.kill else EVERY_S)
    options = Options(given.minutes, every_s, given.rate, given.kill)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # The judge's, not a gateway's.
    with tempfile.TemporaryDirectory(prefix="imagegate-faults-", ignore_cleanup_errors=True) as folder:
        result = asyncio.run(run(options, Path(folder)))
        write_report(result, given.folder)
        for log in Path(folder).glob("gateway*/log"):
            (given.folder / "gateway.log").write_bytes(log.read_bytes())
    told = result.as_json()
    violations = told.pop("violations")
    print(json.dumps(told, indent=2))
    for words in violations:
        print(f"VIOLATION: {words}", file=sys.stderr)
    print(f"{len(violations)} violations; report and plot are in {given.folder}")
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev.py faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument(
        "--every", type=float, help=f"seconds between two faults; {EVERY_S:.0f}, with --kill {EVERY_KILL_S:.0f}"
    )
    parser.add_argument("--kill", action="store_true", help="kill -9 gateway, PostgreSQL or Redis instead")
    parser.add_argument("--rate", type=float, default=20.0, help="calls started each second")
    parser.add_argument(
        "--folder", type=Path, default=Path("faults-report"), help="where report.json, plot.svg and the log go"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
