"""Looking after a gateway (extensions): installation, catalog, reconciliation with the relay, audit of the book, doctor."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app import __version__
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import JsonBody
from app.api.schemas.base import ListOut
from app.api.schemas.reports import (
    AuditOut,
    CatalogModelOut,
    DoctorOut,
    InstallationOut,
    ReconcileRequest,
    ReconciliationOut,
)
from app.control import models
from app.control.audit import audit
from app.errors import Overloaded, UpstreamMisconfigured
from app.store.engine import open_database

router = APIRouter(tags=["Operations (extension)"])
RECONCILE_S = 600.0
"""A run asks the relay three or four times, 30 s at most each, and judges 500 open requests of a kind at most."""
AUDIT_S = 600.0
"""An audit of a long book takes its time; nobody waits behind it."""


@router.get("/installation")
async def retrieve_installation(caller: Admin) -> InstallationOut:
    """The gateway's version, the currency of its book, and the timezone in which it cuts days and months."""
    gateway = caller.gateway
    return InstallationOut(
        version=__version__, currency=gateway.currency, timezone=gateway.zone.key, sandbox=gateway.sandbox
    )


@router.get("/models")
async def list_models(
    caller: Admin,
    project: Annotated[str | None, Query(max_length=200, description="A project by id or name, for `allowed`.")] = None,
) -> ListOut[CatalogModelOut]:
    """The whole catalog, oldest entry first."""
    return ListOut[CatalogModelOut].of(map(CatalogModelOut.of, await models.list_models(caller.database, project)))


@router.post("/reconcile")
async def reconcile(
    caller: AdminWriter, body: Annotated[ReconcileRequest, Depends(JsonBody(ReconcileRequest))]
) -> ReconciliationOut:
    """Compare the book with the relay's own accounts: end unknown requests and correct short ones where the relay's log proves
    it, measure the drift by day. The gateway does the same in the background. A run takes seconds, and ends after 10 minutes at
    the latest; what it has done by then stays done."""
    reconciliation = caller.gateway.reconciliation
    if not reconciliation.api_key:
        raise UpstreamMisconfigured("There is no key of the relay to ask with. Set IMAGEGATE_UPSTREAM_API_KEY.")
    try:
        async with asyncio.timeout(RECONCILE_S):
            return ReconciliationOut.of(await reconciliation.run(dry_run=body.dry_run, every_day=True))
    except TimeoutError:
        message = f"The run took more than {RECONCILE_S:.0f} s; what it has done stays done. Try again later."
        raise Overloaded(message) from None


@router.get("/audit")
async def audit_book(caller: Admin) -> AuditOut:
    """Recompute every counter and every row of the usage roll-up from requests and corrections. Changes nothing. Of a long book
    it takes minutes, 10 at most."""
    database = open_database(caller.database.where, AUDIT_S)
    try:
        return AuditOut.of(await audit(database, caller.gateway.zone))
    finally:
        await database.close()


@router.get("/doctor")
async def examine(caller: Admin) -> DoctorOut:
    """Check database, clock, prices, limits, results, Redis, disk and relay as this gateway sees them. Changes nothing."""
    return DoctorOut(findings=await caller.gateway.doctor.examine())
