"""Reconciliation in the background of a gateway, and of a request that was bought over a socket."""

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from structlog.testing import capture_logs

from app.control.audit import audit
from app.control.reconciler import PAUSE_MS, Reconciler
from app.sandbox import BillLine, SandboxOptions, running_sandbox
from app.sandbox.records import Profile
from app.store.engine import Database
from app.store.reconciliation import may_run
from app.store.tables import reconciliation, requests
from app.upstream.client import HttpUpstream
from tests.control.scene import HOUR, YUAN, ZONE, Scene, pool_of
from tests.gateways import RELAY_KEY, running_gateway


async def test_of_all_replicas_one_runs_in_five_minutes(scene: Scene) -> None:
    replicas = [Reconciler(scene.reconciliations(pool_of(scene.upstream))) for _ in range(3)]

    turns = [await replica.turn() for replica in replicas]

    assert [turn is not None for turn in turns] == [True, False, False]
    async with scene.desk.database.transaction() as connection:
        earlier = {"ran_at_ms": reconciliation.c.ran_at_ms - PAUSE_MS}
        await connection.execute(sa.update(reconciliation).values(earlier))
    assert await may_run(scene.desk.database, PAUSE_MS)


async def test_the_background_tells_what_it_did_and_of_missing_accounts_once(scene: Scene) -> None:
    await scene.unknown()
    elsewhere = HttpUpstream(scene.relay.base_url + "/elsewhere", RELAY_KEY)
    reconciler = Reconciler(scene.reconciliations(pool_of(elsewhere)))
    with capture_logs() as lines:
        for _ in range(2):
            await reconciler.turn()
            async with scene.desk.database.transaction() as connection:
                await connection.execute(sa.update(reconciliation).values(ran_at_ms=0))
        reconciler.reconciliations = scene.reconciliations(pool_of(scene.upstream))
        await reconciler.turn()
    await elsewhere.close()

    assert [line["log_level"] for line in lines] == ["info", "info", "warning", "error"]
    assert (lines[2]["action"], lines[3]["booked"], lines[3]["billed"]) == ("release", "0.00", "1.00")
    assert RELAY_KEY not in str(lines)


async def test_a_request_a_gateway_lost_sight_of_comes_to_its_end(
    database: Database, profile: Profile, tmp_path: Path
) -> None:
    """Bought over a socket, cut by the relay; two hours later the relay's log tells which were charged."""
    import httpx2

    url = None if database.is_sqlite else database.where.url
    data_dir = database.where.path.parent if database.where.path else tmp_path
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, profile, latency_scale=0)) as relay,
        running_gateway(data_dir, relay.base_url, database_url=url) as running,
    ):
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 10 * YUAN)
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key.key}"}, timeout=60) as client:
            for hints, model in (
                ("reset=mid_body", "gpt-image-1"),
                ("reset=before_headers charged=0", "flux-kontext-pro"),
            ):
                body = {"model": model, "prompt": f"a cat [[sandbox {hints}]]"}
                answer = await client.post(f"{running.url}/v1/images/generations", json=body)
                assert answer.status_code == 424
        async with database.transaction() as connection:
            shifted = {name: requests.c[name] - 2 * HOUR for name in ("reserved_at_ms", "dispatched_at_ms")}
            await connection.execute(sa.update(requests).values(shifted))
        bill = relay.sandbox.bill
        bill[:] = [replace(charge, at_ms=charge.at_ms - 2 * HOUR) for charge in bill]
        bill.insert(0, BillLine("old", "imagen4", "generation", 1, 1, bill[0].at_ms - HOUR, 1))
        [report] = await running.gateway.reconciliations.run()

        assert [step.action for step in report.steps] == ["settle", "release"]
        [spend] = await running.counters()
        assert (spend["spent"], spend["held"]) == (YUAN, 0)
        assert (await audit(database, ZONE)).differences == ()
