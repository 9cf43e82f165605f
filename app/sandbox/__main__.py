"""Command `python -m app.sandbox`: run the sandbox as a process until it is interrupted."""

import argparse
import asyncio
import contextlib

from .records import SandboxOptions
from .server import running_sandbox


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.sandbox", description="A stand-in for the image relay.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free port")
    parser.add_argument("--key", required=True, help="the one key that is accepted, sk-...")
    parser.add_argument("--profile", choices=("C", "N"), default="C")
    parser.add_argument("--latency-scale", type=float, default=1.0, help="0 answers at once")
    return parser.parse_args()


async def serve(given: argparse.Namespace) -> None:
    chosen = SandboxOptions(given.key, given.profile, given.latency_scale)
    async with running_sandbox(chosen, given.host, given.port) as running:
        print(running.base_url, flush=True)
        await running.sandbox.closing.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options()))
