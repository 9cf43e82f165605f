"""Console of a gateway, with people of every role who are signed in, their keys, and usage of the last days."""

import csv
import io
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.control.alerts import NewAlert, create_alert
from app.control.invitations import accept_invitation, invite
from app.control.keys import CreatedKey
from app.control.limits import ScopeRef
from app.control.projects import create_project
from app.control.sessions import revoke_session
from app.core.alerts import Channel
from app.core.intervals import DAY_MS
from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from app.store.tables import usage
from tests.administration import create_key
from tests.databases import insert, usage_row
from tests.gateways import Running, running_gateway

PASSWORD = "correct horse battery"
PEOPLE = {"olga": "owner", "rita": "reader", "mia": "member", "max": "member"}
NASTY = "<script>alert(1)</script>"
"""A name that must stay text."""


@dataclass
class House:
    """Gateway with a console. `tokens` are cookies of sessions, by name; `ended` is one that was revoked."""

    running: Running
    http: httpx2.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    keys: dict[str, CreatedKey] = field(default_factory=dict)
    alert: str = ""
    """Id of an alert of everything that is spent in a month."""
    pictures: list[str] = field(default_factory=list)
    """Ids of what was bought, oldest first."""
    project_id: str = ""
    """Project `posters`, in which Mia has a key."""
    increase_id: str = "incr_nothing"

    async def get(self, path: str, who: str = "", **headers: str) -> httpx2.Response:
        return await self.http.get(f"/console{path}", headers=self._cookie(who) | headers)

    async def post(self, path: str, who: str = "", *, origin: str | None = "", **fields: str) -> httpx2.Response:
        """Send a form as a page of ours does; `origin` is another one, None none."""
        headers = self._cookie(who)
        if origin is not None:
            headers["Origin"] = origin or self.running.url
        return await self.http.post(f"/console{path}", data=fields, headers=headers)

    async def csv(self, path: str, who: str) -> list[dict[str, str]]:
        """Read a CSV file that a page offers."""
        answer = await self.get(path, who)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))

    async def buy(self, who: str, prompt: str = "a lighthouse", **fields: object) -> list[str]:
        """Buy pictures by API and have them kept; returns their ids."""
        body = {"model": "gpt-image-1", "prompt": prompt, "size": "1024x1024", "quality": "low"} | fields
        headers = {"Authorization": f"Bearer {self.keys[who].key}"}
        answer = await self.http.post("/v1/images/generations", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        await self.running.gateway.taking.take_all()
        ids = [f"{answer.headers['x-request-id']}_{index}" for index in range(len(answer.json()["data"]))]
        self.pictures += ids
        return ids

    def _cookie(self, who: str) -> dict[str, str]:
        if who == "key":
            return {"Authorization": f"Bearer {self.keys['mia'].key}"}
        return {"Cookie": f"imagegate={self.tokens[who]}"} if who else {}


async def furnish(house: House) -> None:
    """Make people, keys and usage of the last 20 days."""
    database = house.running.database
    project = await create_project(database, "posters")
    for name, role in PEOPLE.items():
        session = await accept_invitation(
            database, (await invite(database, f"{name}@example.com", role)).token, PASSWORD, "Firefox"
        )
        house.tokens[name], house.users[name] = session.token, session.user_id
    ended = await accept_invitation(database, (await invite(database, "eva@example.com", "owner")).token, PASSWORD, "")
    house.tokens["ended"], house.users["eva"], house.project_id = ended.token, ended.user_id, project.id
    await revoke_session(database, ended.id)
    for name, of, given in (
        ("mia", "mia", {"name": "laptop", "expires_in_s": 90 * 86_400}),
        ("max", "max", {"name": NASTY}),
        ("posters", "mia", {"name": "website", "project": project.id, "models": ["seedream-3.0"]}),
    ):
        house.keys[name] = await create_key(database, house.users[of], **given)
    await house.running.limit("user", house.users["mia"], "micros", "month", 50_000_000)
    spend = NewAlert(
        ScopeRef("organization"), "micros", "month", 800_000_000, (Channel("email", ("rita@example.com",)),)
    )
    house.alert = (await create_alert(database, house.running.gateway.notifier, spend)).id
    await _use(house, project.id)


async def _use(house: House, project_id: str) -> None:
    now_ms = await house.running.database.now_ms()
    models = ("gpt-image-1", "seedream-3.0", "flux-kontext-max")
    rows = []
    for number in range(40):
        at = datetime.fromtimestamp((now_ms - (number * 7 % 20) * DAY_MS) / 1000, UTC) + timedelta(hours=8)
        who = ("mia", "max", "posters")[number % 3]
        rows.append(
            usage_row(
                day=at.date().isoformat(),
                hour_at_ms=number,
                project_id=project_id if who == "posters" else "proj_default",
                user_id=house.users["max" if who == "max" else "mia"],
                api_key_id=house.keys[who].id,
                model=models[number * 5 % 3],
                size=("1024x1024", "1536x1024")[number % 2],
                quality=("high", "low", "")[number % 3],
                requests=1 + number % 4,
                images=1 + number % 5,
                cost_micros=830_001 * (1 + number % 7),
            )
        )
    await insert(house.running.database, usage, *rows)


@dataclass(frozen=True)
class FurnishedHouse:
    """House that was furnished and left: the file of its database, and the names of what is in it."""

    file: bytes
    facts: dict[str, Any]

    @classmethod
    def of(cls, house: House) -> "FurnishedHouse":
        """Copy a house with a database on SQLite."""
        path = house.running.database.where.path
        assert path is not None
        copied = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(path)) as book:
            book.backup(copied)
        copied.execute("DELETE FROM processes")
        copied.commit()
        facts = {name: copy(value) for name, value in vars(house).items() if name not in ("running", "http")}
        return cls(copied.serialize(), facts)


_furnished: FurnishedHouse | None = None


@asynccontextmanager
async def open_house(data_dir: Path, relay_url: str, **settings: Any) -> AsyncIterator[House]:
    """Start a gateway, furnished. On SQLite that was done once in a run: it takes longer than most tests."""
    global _furnished
    path = DatabaseUrl.of(settings.get("database_url"), data_dir).path
    known = _furnished if path is not None and not path.exists() else None
    if path is not None and known is not None:
        path.write_bytes(known.file)
    async with (
        running_gateway(data_dir, relay_url, **settings) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=30) as http,
    ):
        house = House(running, http)
        if known is not None:
            vars(house).update({name: copy(value) for name, value in known.facts.items()})
        else:
            await furnish(house)
            if path is not None:
                _furnished = FurnishedHouse.of(house)
        yield house


@pytest.fixture
async def house(tmp_path: Path, relay: RunningSandbox, database_where: DatabaseUrl) -> AsyncIterator[House]:
    async with open_house(tmp_path, relay.base_url, database_url=database_where.url or None) as opened:
        yield opened
