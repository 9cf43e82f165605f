"""A server process of the tests, with a loopback port and a folder of its own."""

import atexit
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self

import psutil
import pytest

from tests.server_processes import family, guard, kill, send, stop, wait_until

HOST: Final = "127.0.0.1"
START_S: Final = 60


class ServerFailed(Exception):
    """A server did not start; the message ends with its own last words."""


class Server:
    """A server process with a loopback port and a folder of its own, both kept over restarts.

    With `url` it stands for a server somebody else runs: it is used, and a test that would kill it is skipped.
    All methods block, none for longer than a start takes. To kill, start or pause twice is harmless.
    """

    name: str
    url: str

    def __init__(self, url: str | None = None) -> None:
        self._ours = url is None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}  # the user and environment to run as, in Popen's words
        if url is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"imagegate-{self.name}-"))
            self._port = free_port()
        self.url = url or self._own_url()

    def __enter__(self) -> Self:
        try:
            if self._ours:
                self._prepare()
                self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Return when the server answers. Raises ServerFailed."""
        self.must_be_ours()
        if self._is_alive():
            return
        with (self._folder / "log").open("ab") as log:
            self._process = self._launch(self._command(), log)
        self._guard = guard(self._process.pid, self._folder)
        self._wait_until_it_answers()

    def kill(self) -> None:
        """SIGKILL the server and its children, as a power cut would, and return when they are gone."""
        self.must_be_ours()
        kill(self._family())
        self._bury()

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered, until `resume`."""
        self.must_be_ours()
        send(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        self.must_be_ours()
        send(self._family(), signal.SIGCONT)

    def ensure_running(self) -> None:
        """Mend what an earlier test left paused or killed."""
        if self._ours and self._is_alive():
            self.resume()
        elif self._ours:
            self.start()

    def close(self) -> None:
        """Stop the server the way it likes best, and remove its folder."""
        if self._ours:
            if self._process:
                stop(self._process.pid)
            self._bury()
            shutil.rmtree(self._folder, ignore_errors=True)

    # What a server of a kind has to say

    def _own_url(self) -> str:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Do once what must be done before the first start."""

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _greeting(self) -> tuple[bytes, bytes]:
        """Return bytes to send to a new connection, and the first bytes of the answer of a server that is ready."""
        raise NotImplementedError

    def _connect(self) -> socket.socket:
        """Return a connection on which the greeting can be said. Raises OSError when the server does not take it."""
        return socket.create_connection((HOST, self._port), timeout=1)

    def _run_as_nobody(self) -> None:
        """PostgreSQL and PgBouncer refuse to run as root."""
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
            self._identity |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _launch(self, command: list[str | Path], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT, **self._identity)

    # Its process

    def _family(self) -> list[psutil.Process]:
        return family(self._process.pid) if self._process else []

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _bury(self) -> None:
        """Collect what has ended. The guard goes too, unheard: it must not outlive the number it would kill."""
        for process in (self._guard, self._process):
            if process:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()
        self._guard = self._process = None

    def must_be_ours(self) -> None:
        """Skip the test where the server is somebody else's."""
        if not self._ours:
            pytest.skip(f"the {self.name} server is not ours to stop and start")

    def _wait_until_it_answers(self) -> None:
        wait_until(lambda: self._answers() or not self._is_alive(), START_S)
        if not self._answers():
            raise ServerFailed(f"{self.name} did not start:\n{(self._folder / 'log').read_text()[-2000:]}")

    def _answers(self) -> bool:
        question, good_answer = self._greeting()
        try:
            with self._connect() as connection:
                connection.sendall(question)
                return connection.recv(len(good_answer)) == good_answer
        except OSError:
            return False


def free_port() -> int:
    """A port of this process until it ends: what is told to listen there may die and come back, and nobody else gets it meanwhile.

    It lies below those that the system gives to outgoing connections. It is held by a socket that does not listen: a server
    that sets SO_REUSEADDR, as servers do, listens beside it; a client is refused as long as there is none; whoever looks for a
    free port as we do, here or in another test run, finds this one taken.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        probe = socket.socket()
        try:
            probe.bind((HOST, port))
        except OSError:
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(probe)
        return port


_held: Final[list[socket.socket]] = []


@atexit.register
def _let_go() -> None:
    for sock in _held:
        sock.close()
