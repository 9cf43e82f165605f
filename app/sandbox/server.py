"""Server of a sandbox on a loopback port, inside the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .records import SandboxOptions
from .relay import Sandbox
from .reply import TRANSPORT, abort

KEEP_ALIVE_S = 60
TICK_S = 1.0
LISTEN_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """Sandbox that serves requests. `base_url` is `http://host:port`, without `/v1`."""

    base_url: str
    sandbox: Sandbox


@contextlib.asynccontextmanager
async def running_sandbox(
    options: SandboxOptions, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RunningSandbox]:
    """Serve a fresh sandbox while the block runs; port 0 takes a free one. Raises OSError when the port is taken.

    No signal handlers, no log lines. Leaving the block breaks whatever still hangs.
    """
    sandbox = Sandbox(options)
    listener = socket.create_server((host, port), backlog=LISTEN_BACKLOG)
    # asyncio does this only for sockets made with an explicit protocol number; without it small answers take 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(sandbox)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield RunningSandbox(f"http://{host}:{listener.getsockname()[1]}", sandbox)
    finally:
        sandbox.closing.set()
        sandbox.hurry.set()
        await serving
        listener.close()


class _Connection(HttpToolsProtocol):
    """HTTP protocol that passes its transport to the application, which may break it; writes no access log."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn's own switch for this would silence every other server in the process.
        self.access_log = False
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = self.transport
            await app(scope, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    """uvicorn without signal handlers and log lines; stops at once when the sandbox closes."""

    def __init__(self, sandbox: Sandbox):
        self._sandbox = sandbox
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=sockets)
        while not self._sandbox.closing.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sandbox.closing.wait(), TICK_S)
        await self.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            abort(connection.transport)
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
