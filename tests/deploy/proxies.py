"""nginx and Caddy as programs, with the configurations of deploy/ in which only names and places are replaced."""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

import dev
from benchmarks.certificate import certify
from tests.server import HOST, Server

SOCKET: Final = "/run/imagegate/imagegate.sock"
NAME: Final = "images.example.com"


class Proxy(Server):
    """Proxy with TLS before the gateway at a Unix socket, the client's certificate authority in `ca_file`. `below` is a path under
    which nginx serves the gateway, `strips` whether it takes the path away before it asks."""

    def __init__(self, socket_path: Path, *, below: str = "", strips: bool = False) -> None:
        self._socket, self._below, self._strips = socket_path, below, strips
        super().__init__()
        self._port_text = f"{HOST}:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self._folder / "relay.pem"

    def _own_url(self) -> str:
        return f"https://{HOST}:{self._port}{self._below}"

    def _prepare(self) -> None:
        if certify(self._folder) is None:
            pytest.skip("no openssl to make a certificate with")

    def _greeting(self) -> tuple[bytes, bytes]:
        return b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1."  # Both answer plain HTTP at a port for TLS.

    def _configuration(self, file: str, replaced: dict[str, str]) -> str:
        """The file of deploy/, with each of these texts, which it must hold, replaced."""
        text = (dev.ROOT / "deploy" / file).read_text(encoding="utf-8")
        for old, new in replaced.items():
            assert old in text, (file, old)
            text = text.replace(old, new)
        return text


class Nginx(Proxy):
    """nginx with deploy/nginx.conf."""

    name = "nginx"

    def _prepare(self) -> None:
        super()._prepare()
        replaced = {
            SOCKET: str(self._socket),
            "listen 443 ssl": f"listen {self._port_text} ssl",
            f"/etc/ssl/{NAME}.pem": "relay.pem",
            f"/etc/ssl/{NAME}.key": "relay.key",
        }
        if self._below:
            replaced |= {"location / {": f"location {self._below}/ {{"}
        if self._strips:
            replaced |= {"proxy_pass http://imagegate;": "proxy_pass http://imagegate/;"}
        server = self._configuration("nginx.conf", replaced)
        temporary = "".join(
            f"{kind}_temp_path {self._folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # As root its workers would be nobody, who reaches neither the socket nor this folder.
        user = "user root;" if os.geteuid() == 0 else ""
        (self._folder / "nginx.conf").write_text(
            f"{user} daemon off; pid {self._folder}/pid; events {{}}\nhttp {{ access_log off; {temporary}\n{server}\n}}"
        )

    def _command(self) -> list[str | Path]:
        return [_program("nginx"), "-p", self._folder, "-c", self._folder / "nginx.conf", "-e", self._folder / "errors"]


class Caddy(Proxy):
    """Caddy with deploy/Caddyfile."""

    name = "caddy"

    def _prepare(self) -> None:
        super()._prepare()
        self._identity = {"env": {**os.environ, "HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}}
        certificate = f"tls {self._folder}/relay.pem {self._folder}/relay.key"
        site = self._configuration(
            "Caddyfile", {f"{NAME} {{": f"https://{self._port_text} {{\n\t{certificate}", SOCKET: str(self._socket)}
        )
        (self._folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)

    def _command(self) -> list[str | Path]:
        return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]


def _program(name: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    program = shutil.which(name, path=path)
    if program is None:
        pytest.skip(f"no {name} here (on Debian: apt-get install {name}): its configuration is NOT tested")
    return program
