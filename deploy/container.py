"""Builds the image of the Dockerfile with buildah, without Docker, and runs the shape of docker-compose.yml with it.

Needs root, buildah, debootstrap and Linux. Gateway and migration run in the image: read-only root, uid 10001, no capabilities, the
network of this machine. PostgreSQL and Redis are those of the tests. A picture is bought from the sandbox relay, the gateway killed
and started again, and the picture found.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

import dev
from app.sandbox import SandboxOptions, running_sandbox
from tests.server import HOST, free_port
from tests.server_processes import wait_until
from tests.servers import PostgresServer, RedisServer

IMAGE = "localhost/imagegate"
BASE = "localhost/imagegate-base"
PACKAGES = "ca-certificates,python3,python3-venv"
NEEDED = ("buildah", "debootstrap", "unshare")
UID = "10001"
CERTIFICATES = Path("/etc/ssl/certs")
READY_S = 60
RELAY_KEY = "sk-the-relay-key-of-the-container-0123456789abcdef"
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --bind "$DATA" "$ROOT/data"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -o remount,bind,ro "$ROOT"
exec chroot "$ROOT" /usr/bin/setpriv --reuid UID --regid UID --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \\
    /usr/bin/env PATH=/opt/imagegate/bin:/usr/bin:/bin "$@"
""".replace("UID", UID)
"""Entry into the image: read-only but for /data and /tmp, as the compose file has it."""


def run(*command: str | Path) -> str:
    """Run a program to its end and return what it printed; exit where it fails, for it has said why."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"imagegate: this failed with {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout.strip()


def make_base() -> str:
    """Make an image of Debian with its Python from the mirror that this machine installs from, where there is none yet."""
    if subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True).returncode == 0:
        return BASE
    suite = run("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME")
    mirror = run("apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}").splitlines()[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root, mirror)
        shutil.rmtree(root / "var" / "cache" / "apt")
        container = run("buildah", "from", "scratch")
        run("buildah", "add", "--quiet", container, root, "/")
        run("buildah", "commit", "--quiet", "--rm", container, BASE)
    return BASE


def build(base: str) -> None:
    """Build the image. Its pip installs from where that of this machine does."""
    options = [
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--format",
        "docker",
        "--build-arg",
        f"BASE={base}",
        "--tag",
        IMAGE,
    ]
    settings = [Path("/etc/pip.conf"), Path.home() / ".config" / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf"]
    mounted = [(file, "/etc/pip.conf") for file in settings if file.is_file()][:1]
    if CERTIFICATES.is_dir():
        mounted.append((CERTIFICATES, str(CERTIFICATES)))
    for source, target in mounted:
        options += ["--volume", f"{source}:{target}:ro"]
    run("buildah", "bud", *options, ".")


class Container:
    """Root of the image as this machine sees it, with a folder for /data that outlives each process in it."""

    def __init__(self, data: Path, settings: Mapping[str, str]):
        self._name = run("buildah", "from", IMAGE)
        self._root, self._data, self._settings = run("buildah", "mount", self._name), data, settings
        data.mkdir()
        os.chown(data, int(UID), int(UID))

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start a program in it."""
        environment = {**self._settings, "ROOT": self._root, "DATA": str(self._data), "PATH": os.environ["PATH"]}
        entry = ("unshare", "--mount", "sh", "-c", ENTER, "sh", *words)
        return await asyncio.create_subprocess_exec(*entry, env=environment, stdout=subprocess.PIPE)

    async def call(self, *words: str) -> str:
        """Run `imagegate` with these words in it and return what it printed."""
        return await self.run("imagegate", *words)

    async def run(self, *words: str) -> str:
        """Run a program in it and return what it printed."""
        process = await self.start(*words)
        out, _ = await process.communicate()
        if process.returncode:
            sys.exit(f"imagegate: in the container this failed with {process.returncode}: {' '.join(words)}")
        return out.decode()

    def remove(self) -> None:
        run("buildah", "rm", self._name)


@asynccontextmanager
async def serving(container: Container, url: str) -> AsyncIterator[int]:
    """Run the gateway until the end of the block, then kill it. Yields its process id, once it is ready."""
    process = await container.start("imagegate", "serve")
    try:
        await asyncio.to_thread(wait_until, lambda: is_ready(url), READY_S)
        assert is_ready(url), "the gateway did not become ready"
        yield process.pid
    finally:
        process.kill()
        await process.wait()


def health_check() -> list[str]:
    """Return the command of the image's HEALTHCHECK, which only the format of Docker has."""
    image = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))
    found: list[str] = image["Docker"]["config"]["Healthcheck"]["Test"]
    return found[1:]


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


async def try_out(data: Path, postgres: str, redis: str, relay: str) -> None:
    port = free_port()
    url = f"http://{HOST}:{port}"
    settings = {
        "IMAGEGATE_HOST": HOST,
        "IMAGEGATE_PORT": str(port),
        "IMAGEGATE_DATA_DIR": "/data",
        "IMAGEGATE_DATABASE_URL": postgres,
        "IMAGEGATE_REDIS_URL": redis,
        "IMAGEGATE_SECRET_KEY": "a-secret-of-the-container-that-nobody-else-has",
        "IMAGEGATE_UPSTREAM_BASE_URL": relay,
        "IMAGEGATE_UPSTREAM_API_KEY": RELAY_KEY,
    }
    container = Container(data, settings)
    try:
        await container.call("db", "upgrade")
        await container.call("users", "create", "ada")
        key = re.search(r"sk-ig-\S+", await container.call("keys", "create", "--user", "ada"))
        assert key is not None
        async with httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key[0]}"}, timeout=60, trust_env=False
        ) as http:
            async with serving(container, url) as pid:
                print(describe(pid))
                bought = await http.post("/v1/images/generations", json={"prompt": "A lighthouse in a container"})
                assert bought.status_code == 200, bought.text
                picture = f"{bought.headers['x-request-id']}_0"
                assert (await http.get(f"/v1/images/pictures/{picture}")).status_code == 200
                await container.run(*health_check())
                await container.call("backup", "/data/book.dump")
                print(f"bought {picture}; its health check is content; backed up; killed")
            async with serving(container, url):
                found = await http.get(f"/v1/images/pictures/{picture}/content")
                assert found.status_code == 200, found.text
                print(f"started again; found it: {len(found.content):,} bytes")
    finally:
        container.remove()


def describe(pid: int) -> str:
    """Tell the rights of a process from what the kernel says of it."""
    status = dict(re.findall(r"(?m)^(Uid|CapEff|CapBnd|NoNewPrivs):\s*(\S+)", Path(f"/proc/{pid}/status").read_text()))
    root = next(line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/")
    assert status == {"Uid": UID, "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}, status
    assert root.split()[5].startswith("ro"), root
    return f"ready as uid {UID}, without capabilities, on a root that cannot be written"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 dev.py container", description=__doc__)
    parser.add_argument(
        "--base", help="image to build on, such as python:3.13-slim, instead of one made by debootstrap"
    )
    base = parser.parse_args().base
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        sys.exit(f"imagegate: needs root and {', '.join(NEEDED)}: apt-get install buildah debootstrap")
    os.chdir(dev.ROOT)
    build(base or make_base())
    print(f"{IMAGE}: {run('buildah', 'images', '--format', '{{.Size}}', IMAGE)}, of which the base is", end=" ")
    print(run("buildah", "images", "--format", "{{.Size}}", base or BASE))
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as postgres, RedisServer() as redis:
        async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay:
            await try_out(Path(folder) / "data", postgres.url, redis.url, relay.base_url)
    print(
        "not tried: PostgreSQL and Redis in the images of the compose file, its networks, and its repeated health checks"
    )


if __name__ == "__main__":
    asyncio.run(main())
