"""The proof of the machine: a gateway with one of its safeguards taken out must be caught by a storm, the whole one must not.

Each mutation is a small replacement of text in a copy of the checkout. Where the text is not found the proof fails: it has to be
brought up to date with the code.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "migrations", "tests", "dev.py", "pyproject.toml")
SEEDS = "8"
TWO_RELAYS = ("--relays", "2")
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Mutation:
    """`changes` are (file, text, what stands there instead); `options` are further ones of the storm."""

    what: str
    database: str
    changes: tuple[tuple[str, str, str], ...]
    options: tuple[str, ...] = ()


MUTATIONS: dict[str, Mutation] = {
    "mark": Mutation(
        "requests are sent without a dispatched mark in the book",
        "sqlite",
        (
            (
                "app/images/sending.py",
                "if not await ledger.dispatch(",
                "if not (lambda *_: True)(",
            ),
        ),
    ),
    "guard": Mutation(
        "a request is settled and released from whatever state it is in",
        "postgresql",
        (
            (
                "app/store/ledger/postgresql.py",
                "AND state = ANY($2::text[]) AND ($3::text IS NULL OR owner = $3) FOR UPDATE",
                "AND $2::text[] IS NOT NULL AND ($3::text IS NULL OR $3 IS NOT NULL) FOR UPDATE",
            ),
        ),
    ),
    "attach": Mutation(
        "a retry that could join its original buys instead",
        "sqlite",
        (
            (
                "app/images/service.py",
                "original = await self.replay.original(grant, identity.retry, identity.fingerprint)",
                "original = None if identity.retry.idempotency_key is None else "
                "await self.replay.original(grant, identity.retry, identity.fingerprint)",
            ),
        ),
    ),
    "relay": Mutation(
        "unknown requests of one relay are judged by the log of another",
        "sqlite",
        (
            (
                "app/store/reconciliation.py",
                "_DISPATCHED.where(_went_to(relay), *open_, *then)",
                "_DISPATCHED.where(*open_, *then)",
            ),
        ),
        TWO_RELAYS,
    ),
    "next": Mutation(
        "a request of unknown outcome goes to the next relay",
        "sqlite",
        (
            (
                "app/upstream/classify.py",
                'return self.outcome == "released" and isinstance(self.error, _ABOUT_RELAY)',
                'return self.outcome == "unknown" or isinstance(self.error, _ABOUT_RELAY)',
            ),
        ),
        TWO_RELAYS,
    ),
}


def prove(names: Sequence[str]) -> int:
    """Every mutation, or those named; 0 when each was caught."""
    missed = [name for name in names or MUTATIONS if not _caught(name)]
    print(f"not caught: {', '.join(missed)}" if missed else "every mutation was caught")
    return 1 if missed else 0


def _caught(name: str) -> bool:
    mutation = MUTATIONS[name]
    with tempfile.TemporaryDirectory(prefix="imagegate-prove-") as folder:
        copy = Path(folder)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            else:
                shutil.copy(source, copy)
        for file, text, instead in mutation.changes:
            _change(copy / file, text, instead)
        command = [
            sys.executable,
            "-m",
            "tests.storm",
            "--seeds",
            SEEDS,
            "--database",
            mutation.database,
            *mutation.options,
        ]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=TIMEOUT_S)
    caught = run.returncode == 1 and "VIOLATIONS" in run.stdout
    told = (
        [line for line in run.stderr.splitlines() if line.startswith("  ")][:1]
        if caught
        else run.stderr.splitlines()[-3:]
    )
    print(
        f"{name} ({mutation.what}): {'caught' if caught else f'NOT CAUGHT, exit {run.returncode}'}: {' '.join(told)}",
        flush=True,
    )
    return caught


def _change(file: Path, text: str, instead: str) -> None:
    """Raises AssertionError where the text does not stand there exactly once."""
    content = file.read_text()
    assert content.count(text) == 1, f"{file.name} does not hold this once: {text}"
    file.write_text(content.replace(text, instead))
