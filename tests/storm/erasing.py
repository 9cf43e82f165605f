"""The administrator of the storm, who erases one user in the middle of it, and the check that nothing of them is left."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import aiohttp
import sqlalchemy as sa

from app.blobs import picture_files
from app.store.erasure import pending_users
from app.store.tables import pictures, refusal_log, requests, results, users
from app.wiring import Gateway
from tests.storm.books import Violation
from tests.storm.plan import Call

ERASED_USER = "ada"
PAUSE_S = 0.1
TRIES_MAX = 300
CALL_S = 10.0


async def erase(session: aiohttp.ClientSession, gateways: Callable[[], list[str]], admin_key: str) -> str | None:
    """Erase the user through whichever gateway lives, call after call, until one says that nothing is left. Return None then, and
    the last answer when none did in TRIES_MAX calls."""
    headers, name, last = {"Authorization": f"Bearer {admin_key}"}, ERASED_USER, "nothing was tried"
    for number in range(TRIES_MAX):
        urls = gateways()
        url = f"{urls[number % len(urls)]}/v1/organization/users/{name}/erase"
        try:
            async with asyncio.timeout(CALL_S), session.post(url, headers=headers) as answer:
                told = await answer.json()
                last = f"{answer.status}: {told}"
                if answer.status == 200:
                    name = told["user_id"]
                    if not told["has_more"]:
                        return None
                if (
                    answer.status == 404 and number
                ):  # An earlier call, whose answer was lost, has come to the end of the name.
                    return None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            last = repr(exc)
        await asyncio.sleep(PAUSE_S)
    return last


async def erasure_violations(gateway: Gateway, calls: Iterable[Call], folder: Path) -> list[Violation]:
    """Have a gateway finish the erasure, then look for what is left of the user, in rows and in files."""
    erasure = gateway.erasure(gateway.database)
    async with gateway.database.transaction() as connection:
        long_ago = sa.update(users).where(users.c.erased_at_ms.is_not(None)).values(erased_at_ms=1)
        if (await connection.execute(long_ago)).rowcount == 0:
            return [Violation("nobody was erased")]
    picture_files.UNFINISHED_S = picture_files.ASIDE_S = 0.0  # As long ago is what the dead have left.
    until_s = time.monotonic() + CALL_S
    while time.monotonic() < until_s:  # A reader of the database can put off the end.
        await erasure.turn()
        async with gateway.database.read() as connection:
            if not await pending_users(connection):
                break
        await asyncio.sleep(PAUSE_S)
    erased = sa.select(users.c.id).where(users.c.erasure_ended_at_ms.is_not(None))
    own = requests.c.user_id.in_(erased)
    told = sa.or_(
        *(requests.c[name].is_not(None) for name in ("prompt", "prompt_hmac", "fingerprint", "duplicate_digest"))
    )
    kept = sa.select(results.c.request_id).where(results.c.request_id.in_(sa.select(requests.c.id).where(own)))
    looks = {
        "has not ended": sa.select(users.c.id).where(users.c.erased_at_ms.is_not(None), users.c.id.not_in(erased)),
        "still has its name": sa.select(users.c.id).where(users.c.name == ERASED_USER),
        "still has a prompt or a digest": sa.select(requests.c.id).where(own, told),
        "still has a stored answer": kept,
        "still has a picture": sa.select(pictures.c.id).where(pictures.c.user_id.in_(erased)),
        "is still quoted": sa.select(refusal_log.c.id).where(
            refusal_log.c.user_id.in_(erased), refusal_log.c.message != "erased"
        ),
    }
    found = []
    async with gateway.database.read() as connection:
        for what, wanted in looks.items():
            found += [
                Violation(f"{id} {what} after the erasure", (id,))
                for id in (await connection.execute(wanted)).scalars()
            ]
    markers = {call.marker for call in calls}
    return found + await asyncio.to_thread(_file_violations, folder, markers)


def _file_violations(folder: Path, markers: set[str]) -> list[Violation]:
    found = []
    files = [*(folder / "pictures").rglob("*"), *(folder / "results").rglob("*")]
    for path in (path for path in files if path.is_file()):
        content = path.read_bytes()
        found += [
            Violation(f"{path} still holds a picture of {marker}", (), (marker,))
            for marker in markers
            if f'"{marker}"'.encode() in content
        ]
    return found
