"""Stylesheet and script of the console, put together from static/, compressed once, under names that change with their content."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("static")
STYLES = ("tokens.css", "base.css", "pages.css")
SCRIPTS = ("swap.js", "forms.js", "copy.js", "create.js", "edit.js", "mask.js", "gallery.js", "live.js")
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """File to serve, plain and compressed. `name` holds a digest of its content."""

    name: str
    media_type: str
    content: bytes
    compressed: bytes


@cache
def stylesheet() -> Asset:
    """Return the stylesheet, without comments and indentation."""
    text = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in STYLES)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return _asset("css", "text/css", re.sub(r"\s*\n\s*", "\n", text).strip())


@cache
def script() -> Asset:
    """Return the script. Each module is a block of its own, so that equal names do not meet."""
    blocks = ((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    text = "\n".join(f"{{\n{re.sub(r'^ *(?:/?[*]+.*|//.*)$', '', block, flags=re.MULTILINE)}\n}}" for block in blocks)
    return _asset("js", "text/javascript", re.sub(r"\s*\n\s*", "\n", text).strip())


def _asset(kind: str, media_type: str, text: str) -> Asset:
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{digest}.{kind}", media_type, content, gzip.compress(content, 9, mtime=0))


def asset_routes(prefix: str) -> list[Route]:
    """Make the route of the files. An older name answers with today's content, for a page that was opened before an upgrade."""

    async def serve(request: Request) -> Response:
        asset = script() if request.path_params["name"].endswith(".js") else stylesheet()
        is_known = request.path_params["name"] == asset.name
        headers = {"cache-control": FOREVER if is_known else "no-store", "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.content, 200, headers, asset.media_type)
        return Response(asset.compressed, 200, headers | {"content-encoding": "gzip"}, asset.media_type)

    return [Route(f"{prefix}/static/{{name}}", serve, methods=["GET"])]
