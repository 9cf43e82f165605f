"""The command `imagegate`: parses, calls control, prints. What a command needs is imported when it runs."""

import sys


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict."""
    from app.cli.root import run

    sys.exit(run(sys.argv[1:]))
