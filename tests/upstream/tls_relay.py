"""A relay behind TLS with a certificate that no system trusts. It answers from threads, so that the event loop may stand still."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

PICTURE = bytes(range(256)) * 3000
"""Larger than aiohttp's usual buffer, and small enough to wait in the buffers of two sockets."""


class TlsRelay:
    """Answers every request with PICTURE; with `closes` it hangs up behind the last byte. `closed` is set once it hung up."""

    def __init__(self, certificate: Path, *, closes: bool):
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._closes = closes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.closed = threading.Event()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The listener was closed.
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(peer, server_side=True) as stream:
            self.connections += 1
            while stream.recv(65_536):
                stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(PICTURE)}\r\n\r\n".encode() + PICTURE)
                if self._closes:
                    break
        self.closed.set()


@contextlib.contextmanager
def running_tls_relay(certificate: Path, *, closes: bool = False) -> Iterator[TlsRelay]:
    relay = TlsRelay(certificate, closes=closes)
    accepting = threading.Thread(target=relay._accept, daemon=True)
    accepting.start()
    try:
        yield relay
    finally:
        relay._listener.shutdown(socket.SHUT_RDWR)
        relay._listener.close()
        accepting.join(5)
