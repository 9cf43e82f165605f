"""For load balancers and people who look after the gateway. No key needed, and nothing secret told."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.api import openapi
from app.api.deps import Wired

router = APIRouter(tags=["Operation"])


@router.get("/healthz", **openapi.HEALTH)
async def healthz() -> dict[str, Any]:
    """The process lives. Says nothing about what it depends on."""
    return {"status": "ok"}


@router.get("/readyz", **openapi.READY)
async def readyz(gateway: Wired) -> JSONResponse:
    """200 when requests are served (`ready`, or `degraded` when something is amiss), 503 when they are not (`unready`)."""
    readiness = await gateway.readiness()
    body = {"status": readiness.status, "sandbox": gateway.sandbox, "checks": readiness.checks}
    return JSONResponse(body, 503 if readiness.status == "unready" else 200)
