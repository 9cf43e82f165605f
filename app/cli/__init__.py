"""Command line `imagegate`: parses options, calls the administration API, prints. Each command imports its modules when it runs."""

import sys


def main() -> None:
    """Run the command line of this process. Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict."""
    from app.cli.root import run

    sys.exit(run(sys.argv[1:]))
