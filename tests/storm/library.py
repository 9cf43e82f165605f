"""Check of the pictures after the storm: every picture that was bought is kept, whole and once, or its row
says that the relay's link was all there was."""

from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from blake3 import blake3

from app.store.tables import pictures, requests, results, users
from app.wiring import Gateway
from tests.storm.books import Violation
from tests.storm.pictures import recognise_bytes

Row = dict[str, Any]


async def picture_violations(gateway: Gateway) -> list[Violation]:
    """Have a gateway take what the dead have left, then compare rows, files and stored answers."""
    await gateway.chores.stop()
    gateway.taking._swept_at_ms = None
    await gateway.taking.take_all()
    async with gateway.database.read() as connection:
        kept = [dict(row) for row in (await connection.execute(sa.select(pictures))).mappings()]
        erased = sa.select(users.c.id).where(users.c.erased_at_ms.is_not(None))  # Their answers go with the erasure.
        good = sa.select(requests.c.id).where(requests.c.flag.is_distinct_from("bad_payload"))
        columns = (*results.c, requests.c.images, requests.c.link_only, requests.c.flag, requests.c.n)
        wanted = (
            sa.select(*columns)
            .join(requests, requests.c.id == results.c.request_id)
            .where(results.c.request_id.in_(good), requests.c.user_id.not_in(erased))
        )
        answers = [dict(row) for row in (await connection.execute(wanted)).mappings()]
    folder = gateway.data_dir / "pictures"
    found = [each for row in kept for each in _file_violations(folder, row)]
    named = {row["digest"] for row in kept}
    found += [
        Violation(f"{path.name} is a picture without a row")
        for path in folder.iterdir()
        if len(path.name) == 64 and path.name not in named
    ]
    counts = Counter(row["request_id"] for row in kept)
    return found + [each for row in answers for each in _answer_violations(row, counts, gateway.data_dir / "results")]


def _file_violations(folder: Path, row: Row) -> list[Violation]:
    id = row["request_id"]
    try:
        picture = (folder / row["digest"]).read_bytes()
    except FileNotFoundError:
        return [Violation(f"{row['id']} has lost its bytes", (id,))]
    if (blake3(picture).hexdigest(), len(picture)) != (row["digest"], row["bytes"]):
        return [Violation(f"{row['id']} has other bytes than its row says", (id,))]
    return [] if recognise_bytes(picture).request_id == id else [Violation(f"{row['id']} is another's picture", (id,))]


def _answer_violations(row: Row, counts: Counter[str], folder: Path) -> list[Violation]:
    id, body, file = row["request_id"], row["body"], folder / row["request_id"]
    if row["cuts"] is None:
        return [Violation(f"the pictures of {id} were never taken", (id,))]
    if body is not None and file.exists():
        return [Violation(f"the answer of {id} lies there whole beside its pictures", (id,))]
    if row["images"] is None:
        return [Violation(f"{id} has an answer and is not settled", (id,))]
    bought, kept, link_only = row["images"], counts[id], row["link_only"] or 0
    # A stream whose process was taken for dead is booked, and charged whole, with the pictures that were there then: its flag is
    # `short`. Where the process lived, the others came after that, and are kept.
    most = row["n"] if row["flag"] == "short" else bought
    if not bought <= kept + link_only <= most:
        return [
            Violation(f"{id} was answered with {bought} pictures; {kept} are kept, {link_only} were only links", (id,))
        ]
    return []
