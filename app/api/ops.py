"""Health of the gateway, for load balancers and operators. No key needed, and nothing secret told."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.api.deps import Wired
from app.api.schemas.images import HealthOut, ReadyOut

router = APIRouter(tags=["Operation"])


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Tell that the process lives, and nothing of what it depends on."""
    return HealthOut()


@router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut}})
async def readyz(gateway: Wired) -> JSONResponse:
    """200 when requests are served (`ready`, or `degraded` when something is amiss), 503 when they are not (`unready`: its
    database, its heartbeat or its disk, or it shuts down). `chores` tells of each the seconds since its last success, and the
    error of its last turn; an error there makes the gateway `degraded`."""
    readiness = await gateway.readiness.check()
    body = asdict(readiness) | {"sandbox": gateway.sandbox}
    return JSONResponse(body, 503 if readiness.status == "unready" else 200)
