"""Pages out of templates: what every template can use, and the compressed answer."""

import gzip
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from app import __version__
from app.console.assets import script, stylesheet
from app.console.formats import Formats
from app.console.language import LANGUAGES, translate
from app.console.navigation import destinations
from app.console.visit import THEMES, Visit

COMPRESSED_BYTES_MIN = 1024


@cache
def templates() -> Environment:
    """Load the templates. Everything that they print is escaped, and a name that is not there is an error."""
    folder = FileSystemLoader(Path(__file__).with_name("templates"))
    return Environment(
        loader=folder,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def page(visit: Visit, template: str, status: int, values: dict[str, Any], *, compress: bool) -> Response:
    """Render a template for a visit."""
    gateway, state = visit.parts.gateway, visit.request.scope.get("state", {})
    context = {
        "_": partial(translate, visit.language),
        "visit": visit,
        "url": visit.url,
        "format": Formats(visit.language, gateway.zone, gateway.currency),
        "destinations": destinations(visit),
        "stylesheet": stylesheet().name,
        "script": script().name,
        "installation": _installation(visit.parts.public_url),
        "sandbox": gateway.sandbox,
        "zone": gateway.zone.key,
        "version": __version__,
        "languages": LANGUAGES,
        "themes": THEMES,
        "done": visit.query.get("done", ""),
        "request_id": state.get("request_id", ""),
    }
    text = templates().get_template(template).render(context | values)
    return _answer(text.encode(), status, visit, compress=compress)


def _answer(content: bytes, status: int, visit: Visit, *, compress: bool) -> Response:
    headers = {"cache-control": "no-store", "vary": "cookie, accept-encoding, accept-language"}
    accepted = "gzip" in visit.request.headers.get("accept-encoding", "")
    if compress and accepted and len(content) >= COMPRESSED_BYTES_MIN:
        content, headers["content-encoding"] = gzip.compress(content, 6), "gzip"
    return Response(content, status, headers, "text/html")


def _installation(public_url: str | None) -> str:
    return "imagegate" if public_url is None else public_url.partition("://")[2].partition("/")[0]
