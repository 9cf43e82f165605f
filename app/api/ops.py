"""Health endpoints for load balancers and operators. They need no key and reveal no secrets."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.api.deps import Wired, authenticated, parts
from app.api.paths import CONSOLE
from app.api.schemas.images import HealthOut, IndexOut, ReadyOut
from app.core.browsers import public_path
from app.errors import UnknownUrl

router = APIRouter(tags=["Operation"])
NO_METRICS = "Unknown request URL: GET /metrics. Set IMAGEGATE_METRICS_TOKEN to open it."
WRONG_TOKEN = "Incorrect token. /metrics takes IMAGEGATE_METRICS_TOKEN, as: Authorization: Bearer TOKEN"

ENDPOINTS = [
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/images/variations",
    "GET /v1/models",
    "GET /v1/key",
    "GET /healthz",
    "GET /readyz",
]


@router.get("/", response_model=IndexOut)
async def index(request: Request) -> Any:
    """List the endpoints, for somebody who opens the address of the gateway with a program. Browsers are sent to the console."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{public_path(parts(request).public_url)}{CONSOLE}/", 303, {"vary": "accept"})
    return IndexOut(endpoints=ENDPOINTS, documentation="/docs")


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Answer 200 while the process runs; dependencies are not checked."""
    return HealthOut()


@router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut}})
async def readyz(gateway: Wired) -> JSONResponse:
    """Check the dependencies. 200 while image requests are served: `ready`, or `degraded` when a part fails. 503 `unready` while
    the database, the heartbeat or the disk fails, or during shutdown. `chores` holds the seconds since the last success of each
    background job and the error of its last run; such an error makes the gateway `degraded`, as does a relay whose breaker is not
    closed, or all of them: replays are served."""
    readiness = await gateway.readiness.check()
    body = asdict(readiness) | {"sandbox": gateway.sandbox}
    return JSONResponse(body, 503 if readiness.status == "unready" else 200)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, gateway: Wired) -> Response:
    """Show the metrics to Prometheus, which sends `IMAGEGATE_METRICS_TOKEN` as a bearer token; 404 where none is set."""
    exporter = gateway.metrics
    if exporter is None or not exporter.has_route:
        raise UnknownUrl(NO_METRICS)
    await authenticated(request, exporter.is_token, WRONG_TOKEN)
    body, media_type = await exporter.render(request.headers.get("accept", ""))
    return Response(body, media_type=media_type)
