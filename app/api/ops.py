"""Health of the gateway, for load balancers and operators. No key needed, and nothing secret told."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.api import openapi
from app.api.deps import Wired

router = APIRouter(tags=["Operation"])


@router.get("/healthz", **openapi.HEALTH)
async def healthz() -> dict[str, Any]:
    """Tell that the process lives, and nothing of what it depends on."""
    return {"status": "ok"}


@router.get("/readyz", **openapi.READY)
async def readyz(gateway: Wired) -> JSONResponse:
    """200 when requests are served (`ready`, or `degraded` when something is amiss), 503 when they are not (`unready`: its
    database, its heartbeat or its disk, or it shuts down). `chores` tells of each the seconds since its last success, and the
    error of its last turn; an error there makes the gateway `degraded`."""
    readiness = await gateway.readiness.check()
    body = asdict(readiness) | {"sandbox": gateway.sandbox}
    return JSONResponse(body, 503 if readiness.status == "unready" else 200)
