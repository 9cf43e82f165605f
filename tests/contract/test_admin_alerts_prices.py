"""Alerts as a team sets them up with the OpenAI SDK, over three replicas on one PostgreSQL: one message each."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.control.alerting import Alerting
from app.sandbox import RunningSandbox
from tests.contract.environments import output_of, python_with_openai
from tests.gateways import PEPPER, Running, running_gateway
from tests.receivers import MailServer, mail_server, webhook_receiver


async def test_three_replicas_tell_each_alert_once_and_the_receiver_verifies_who_did(
    tmp_path: Path, relay: RunningSandbox, postgres_url: str
) -> None:
    async with AsyncExitStack() as stack:
        hook, mail = await stack.enter_async_context(webhook_receiver()), await stack.enter_async_context(mail_server())
        replicas = [
            await stack.enter_async_context(_replica(tmp_path / str(number), relay, postgres_url, mail))
            for number in range(3)
        ]
        left = await _sdk(replicas[0], hook.url)
        key = (await replicas[0].key()).key

        await asyncio.gather(*(_buy(replica, key) for replica in replicas))
        [received] = await hook.wait_for(1)
        await _mails(mail, 2)
        more = [await _turn(replica) for replica in replicas]

    document: Any = received.verified(left["ours"]["notification_channels"][0]["secret"])
    assert document["type"] == "alert.fired"
    assert document["data"]["alert_id"] == left["ours"]["id"]
    assert (document["data"]["threshold"], document["data"]["currency"]) == ("1.00", "USD")
    assert more == [(0, 0)] * 3
    assert len(hook.received) == 1
    assert sorted(message["subject"] for message in mail.mails) == [
        "[team] Spend by project default this month reached 1.00 USD",
        "[team] Spend by the organization this month reached 1.00 USD",
    ]
    assert {message["to"] for message in mail.mails} == {"finance@example.com"}


def _replica(data_dir: Path, relay: RunningSandbox, database_url: str, mail: MailServer) -> Any:
    data_dir.mkdir()
    alerts: dict[str, Any] = {"webhook_allow_http": True, "webhook_allow_private": True, "smtp_host": "127.0.0.1"}
    smtp: dict[str, Any] = {"smtp_port": mail.port, "smtp_security": "none"}
    return running_gateway(data_dir, relay.base_url, database_url=database_url, currency="USD", **alerts, **smtp)


async def _sdk(replica: Running, hook: str) -> Any:
    """What the script of the SDK has left behind."""
    python = await asyncio.to_thread(python_with_openai, 3)
    created = await create_admin_key(replica.database, PEPPER, NewAdminKey("the team's"))
    where = {"url": replica.url, "admin_key": created.key, "currency": "USD", "project": "proj_default", "hook": hook}
    program = (python, "-m", "tests.contract.admin_alerts")
    return json.loads(await output_of(*program, timeout_s=120, given=json.dumps(where).encode()))


async def _buy(replica: Running, key: str) -> None:
    body = {"model": "gpt-image-1", "prompt": f"a lighthouse at {replica.url}"}
    async with httpx2.AsyncClient(verify=False, timeout=60) as http:
        answer = await http.post(
            f"{replica.url}/v1/images/generations", json=body, headers={"Authorization": f"Bearer {key}"}
        )
    assert answer.status_code == 200, answer.text


async def _mails(mail: MailServer, count: int) -> None:
    async with asyncio.timeout(60):
        while len(mail.mails) < count:
            await asyncio.sleep(0.05)


async def _turn(replica: Running) -> tuple[int, int]:
    """What a replica finds to do once more."""
    gateway = replica.gateway
    work = Alerting(gateway.database, gateway.notifier, gateway.zone, gateway.currency, None)
    return await work.fire_reached(), await work.deliver()
