"""Operation of a gateway (extensions): installation, catalog, reconciliation with the relay, audit of the book, doctor."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from app import __version__
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import Body
from app.api.schemas.base import ListOut, RemovedOut
from app.api.schemas.reconciliation import ReconcileRequest, ReconciliationOut
from app.api.schemas.reports import (
    AuditOut,
    CatalogModelOut,
    DoctorOut,
    InstallationOut,
)
from app.control import models, removal
from app.control.audit import audit
from app.core.request import DEFAULT_RELAY
from app.errors import Overloaded, UpstreamMisconfigured
from app.pictures.audit import audit_pictures
from app.store.engine import open_database
from app.store.pictures import PictureRows

router = APIRouter(tags=["Operations (extension)"])
RECONCILE_S = 600.0
"""Longest run: at most four requests to the relay of 30 s each, and 500 unknown requests of a kind."""
AUDIT_S = 600.0
"""Longest statement of an audit, which has connections of its own and blocks no other request."""


@router.get("/installation")
async def retrieve_installation(caller: Admin) -> InstallationOut:
    """Retrieve the version of the gateway, the currency of its book, and the timezone of its days and months."""
    gateway = caller.gateway
    return InstallationOut(
        version=__version__, currency=gateway.currency, timezone=gateway.zone.key, sandbox=gateway.sandbox
    )


@router.get("/models")
async def list_models(
    caller: Admin,
    project: Annotated[str | None, Query(max_length=200, description="A project by id or name, for `allowed`.")] = None,
) -> ListOut[CatalogModelOut]:
    """List the catalog, oldest entry first."""
    return ListOut[CatalogModelOut].of(map(CatalogModelOut.of, await models.list_models(caller.database, project)))


@router.delete("/models")
async def remove_model(
    caller: AdminWriter, model: Annotated[str, Query(max_length=128, description="The model.")]
) -> RemovedOut:
    """Remove a model from the catalog and end its prices; reports and the book keep its name. A 409 while an alias stands for it,
    or a request for it is reserved, dispatched or unknown. Setting a price makes it again."""
    await removal.remove_model(caller.database, model)
    return RemovedOut(object="model.deleted", deleted=True)


@router.post("/reconcile")
async def reconcile(caller: AdminWriter, body: Body[ReconcileRequest]) -> ReconciliationOut:
    """Reconcile the book with the bill of each relay: end unknown requests and correct short ones where the log of the relay that
    they went to proves it, and measure the drift by day. The gateway does the same in the background. A run takes seconds and is
    cut after 10 minutes; the steps made by then stay."""
    reconciliations = caller.gateway.reconciliations
    relays = [relay.name for relay in await reconciliations.relays()]
    if caller.gateway.settings.upstream_api_key is None and relays in ([], [DEFAULT_RELAY]):
        raise UpstreamMisconfigured("There is no key of the relay to ask with. Set IMAGEGATE_UPSTREAM_API_KEY.")
    try:
        async with asyncio.timeout(RECONCILE_S):
            return ReconciliationOut.of(await reconciliations.run(dry_run=body.dry_run, every_day=True), body.dry_run)
    except TimeoutError:
        message = f"The run took more than {RECONCILE_S:.0f} s; what it has done stays done. Try again later."
        raise Overloaded(message) from None


@router.get("/audit")
async def audit_book(caller: Admin) -> AuditOut:
    """Recompute every counter and every row of the usage roll-up from requests and corrections, and compare the kept pictures with
    their files. Changes nothing. A long book takes minutes, 10 at most."""
    database = open_database(caller.database.where, AUDIT_S)
    try:
        book = await audit(database, caller.gateway.zone)
        return AuditOut.of(book, await audit_pictures(PictureRows(database), caller.gateway.pictures().files.blobs))
    finally:
        await database.close()


@router.get("/doctor")
async def examine(caller: Admin) -> DoctorOut:
    """Check database, clock, prices, limits, results, Redis, disk and relay as this gateway sees them. Changes nothing."""
    return DoctorOut(findings=await caller.gateway.doctor.examine())
