"""Health endpoints for load balancers and operators. They need no key and reveal no secrets."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.api.deps import Wired
from app.api.schemas.images import HealthOut, IndexOut, ReadyOut

router = APIRouter(tags=["Operation"])

ENDPOINTS = [
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/images/variations",
    "GET /v1/models",
    "GET /v1/key",
    "GET /healthz",
    "GET /readyz",
]


@router.get("/")
async def index() -> IndexOut:
    """List the endpoints, for somebody who opens the address of the gateway."""
    return IndexOut(endpoints=ENDPOINTS, documentation="/docs")


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Answer 200 while the process runs; dependencies are not checked."""
    return HealthOut()


@router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut}})
async def readyz(gateway: Wired) -> JSONResponse:
    """Check the dependencies. 200 while image requests are served: `ready`, or `degraded` when a part fails. 503 `unready` while
    the database, the heartbeat or the disk fails, or during shutdown. `chores` holds the seconds since the last success of each
    background job and the error of its last run; such an error makes the gateway `degraded`."""
    readiness = await gateway.readiness.check()
    body = asdict(readiness) | {"sandbox": gateway.sandbox}
    return JSONResponse(body, 503 if readiness.status == "unready" else 200)
