"""A gateway to administer from another machine, commands run here and there, and a server that is no imagegate."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from getpass import getuser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.cli.conftest import Cli, Done
from tests.gateways import PEPPER, running_gateway

KEY = "sk-ig-admin-only-for-tests-0123456789"
LOCAL_ONLY = ("serve", "db upgrade", "db current", "backup book.db", "restore book.db")
_IDS = re.compile(r"\b((?:user-|proj_|key_|alert_|msg_|stmt_|audit_log-)(?!default)[0-9a-z]{8,})\b")
_TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d|(?<=_at": )\d{10}|(?<=ated": )\d{10}')
_LAST_FOUR = re.compile(r"(last four\t|\.\.\.|last_four(?:: |\": \")).{4}")
_OWN = re.compile(rf'(total ms\t|"total_ms": )\d+|\w+ \(command line\)|\b(far|{re.escape(getuser())})\b')
"""Durations, and the actor of a decision: here the account, there the admin key."""
_SECRET = re.compile(r"(?:sk-ig-|whsec_)[\w+/=-]{20,}")


@dataclass(frozen=True, slots=True)
class Targets:
    """The same commands for a database here and for a gateway elsewhere. For that one, the settings of this machine are other
    ones: they must not show."""

    cli: Cli
    monkeypatch: pytest.MonkeyPatch
    url: str
    key: str

    def here(self, line: str, *more: str, code: int | None = 0) -> Done:
        return self._run({"SECRET_KEY": PEPPER.decode()}, line, more, code)

    def there(self, line: str, *more: str, code: int | None = 0, key: str | None = None) -> Done:
        settings = {"URL": self.url, "ADMIN_KEY": key or self.key, "TIMEZONE": "UTC", "CURRENCY": "USD"}
        return self._run({**settings, "DATA_DIR": "nowhere"}, line, more, code)

    def _run(self, settings: dict[str, str], line: str, more: tuple[str, ...], code: int | None) -> Done:
        with self.monkeypatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(f"IMAGEGATE_{name}", value)
            return self.cli(line, *more, code=code)


@contextmanager
def both_targets(cli: Cli, monkeypatch: pytest.MonkeyPatch, folder: str, upstream_url: str) -> Iterator[Targets]:
    """The gateway's data directory is `folder`; the settings lead the commands here to it, too."""
    monkeypatch.setenv("IMAGEGATE_SECRET_KEY", PEPPER.decode())
    monkeypatch.setenv("IMAGEGATE_DATA_DIR", str(cli.folder / folder))
    cli("db upgrade")
    key = cli("admin-keys create --name far --json").json["key"]
    with gateway_in_a_thread(cli.folder / folder, upstream_url) as url:
        yield Targets(cli, monkeypatch, url, key)


@contextmanager
def gateway_in_a_thread(data_dir: Path, upstream_url: str) -> Iterator[str]:
    """Run a gateway over an existing database in a thread of its own; yields its address."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []
    done = asyncio.Event()

    async def serve() -> None:
        async with running_gateway(data_dir, upstream_url, guard_admin_per_minute=100_000) as running:
            found.append(running.url)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        with capture_logs():  # Log lines would stand between what the commands print.
            yield found[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(60)
        loop.close()


@dataclass(slots=True)
class Masks:
    """Replaces what is new each time (ids, secrets, instants) by names that are the same each time: `key_1` is the first key
    seen."""

    seen: dict[str, str] = field(default_factory=dict)

    def filled(self, line: str) -> str:
        """`{key_1}` in a line becomes the id."""
        for id, name in self.seen.items():
            line = line.replace(f"{{{name}}}", id)
        assert "{" not in line, line
        return line

    def masked(self, text: str) -> str:
        for id in _IDS.findall(text):
            kind = re.split("[-_]", id)[0]
            count = sum(name.startswith(kind) for name in self.seen.values())
            self.seen.setdefault(id, f"{kind}_{count + 1}")
        text = _TIME.sub("<time>", _SECRET.sub("<secret>", text))
        text = _OWN.sub("<own>", _LAST_FOUR.sub(r"\1<last>", text))
        return _IDS.sub(lambda found: self.seen[found[0]], text)


@dataclass(slots=True)
class OtherServer:
    """A server that is no imagegate. It answers calls with `first`, one after another, and every further one with `status` and
    `body`; `asked` holds request line and headers of each call."""

    url: str
    status: int = 200
    body: str = ""
    first: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def other_server() -> Iterator[OtherServer]:
    seen = OtherServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.asked.append(f"{self.requestline}\n{self.headers}")
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200 if seen.first else seen.status)
            body = (seen.first.pop(0) if seen.first else seen.body).encode()
            for name, value in {**seen.headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


def key_file(cli: Cli, key: str = KEY) -> str:
    """A file that holds the key; returns its path."""
    path = cli.folder / "key"
    path.write_text(f"{key}\n")
    return str(path)
