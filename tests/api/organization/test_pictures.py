"""Pictures for administrators: what they find, what they may open, and what the audit log says of it."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.intervals import DAY_MS
from app.store.tables import pictures
from tests.api.organization.conftest import Office

LOOKS = ("pictures.listed", "pictures.pruned", "picture.opened", "picture.deleted")


async def bought(office: Office, user: str, *prompts: str) -> list[str]:
    """Buy a picture for each prompt and have them kept; returns their ids."""
    await office.running.gateway.chores.stop()
    key = (await office.running.key(user)).key
    ids = []
    for prompt in prompts:
        body, headers = {"model": "gpt-image-1", "prompt": prompt}, {"Authorization": f"Bearer {key}"}
        answer = await office.http.post("/v1/images/generations", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        ids.append(f"{answer.headers['x-request-id']}_0")
    await office.running.gateway.taking.take_all()
    return ids


async def change(office: Office, ids: Sequence[str], **values: object) -> None:
    async with office.running.database.transaction() as connection:
        await connection.execute(sa.update(pictures).where(pictures.c.id.in_(ids)).values(values))


async def ids(office: Office, **query: Any) -> list[str]:
    return [each["id"] for each in (await office.get("/pictures", **query))["data"]]


async def looks(office: Office) -> list[tuple[str, Any, Any]]:
    """Event, target and facts of each logged look, oldest first."""
    found = (await office.get("/audit_logs", limit=100))["data"]
    lines = [each for each in reversed(found) if each["event"] in LOOKS]
    return [(each["event"], each[each["event"]]["id"], each["after"] or each["before"]) for each in lines]


async def test_administrators_find_the_pictures_of_everybody(office: Office) -> None:
    [first, second], [third] = await bought(office, "lin", "a red cat", "a dog"), await bought(office, "bo", "a CAT")
    await change(office, [first], created_at_ms=5_000)

    page = await office.get("/pictures", limit=2)

    assert [each["id"] for each in page["data"]] == [third, second]
    assert page["has_more"] is True
    assert await ids(office, after=page["last_id"]) == [first]
    shown = page["data"][0]
    assert (shown["user"], shown["project"], shown["prompt"], shown["cost_micros"]) == ("bo", "default", "a CAT", 10**6)
    assert await ids(office, user="lin") == [second, first]
    assert await ids(office, words="cat") == [third, first]
    assert await ids(office, words="cat", user="lin", project="default", model="gpt-image-1", until=6) == [first]
    assert await ids(office, request=second[:-2], since=6) == [second]
    assert await office.refused("GET", "/pictures", user="nobody") == (404, "not_found", "user")
    assert await office.refused("GET", "/pictures", project="nowhere") == (404, "not_found", "project")
    assert await office.refused("GET", "/pictures", after="nothing") == (400, "invalid_value", "after")


async def test_each_look_at_what_is_private_leaves_a_line_in_the_audit_log(office: Office) -> None:
    private, shared = await bought(office, "lin", "a cat", "a dog")
    await change(office, [shared], visibility="project")

    await office.get("/pictures", words="cat")
    for id in (private, shared):
        await office.get(f"/pictures/{id}")
        content = await office.call("GET", f"/pictures/{id}/content")
        assert (content.status_code, content.headers["content-type"]) == (200, "image/png")
    await office.delete(f"/pictures/{private}")

    lines = await looks(office)
    assert [(event, target) for event, target, _ in lines] == [
        ("pictures.listed", "pictures"),
        ("picture.opened", private),
        ("picture.opened", private),
        ("picture.deleted", private),
    ]
    assert lines[0][2] == {"words": "cat", "pictures": 1}
    assert [line[2] for line in lines[1:3]] == [{"user": "lin", "part": part} for part in ("prompt", "content")]
    assert (lines[3][2]["user"], lines[3][2]["model"]) == ("lin", "gpt-image-1")
    assert (await office.call("GET", f"/pictures/{private}")).status_code == 404
    assert len(list((office.running.gateway.data_dir / "pictures").iterdir())) == 1


async def test_a_reader_sees_what_is_shared_and_of_private_pictures_only_that_they_are_there(office: Office) -> None:
    private, shared = await bought(office, "lin", "a cat", "a tame cat")
    await change(office, [shared], visibility="project")
    reader = await office.reader()

    listed = (await office.call("GET", "/pictures", key=reader)).json()["data"]
    found = (await office.call("GET", "/pictures", key=reader, words="cat")).json()["data"]
    shown = (await office.call("GET", f"/pictures/{private}", key=reader)).json()

    assert [(each["id"], each["prompt"]) for each in listed] == [(shared, "a tame cat"), (private, None)]
    assert [each["id"] for each in found] == [shared]
    assert (shown["prompt"], shown["cost_micros"]) == (None, 1_000_000)
    assert (await office.call("GET", f"/pictures/{private}/content", key=reader)).status_code == 403
    assert (await office.call("GET", f"/pictures/{shared}/content", key=reader)).status_code == 200
    assert (await office.call("DELETE", f"/pictures/{shared}", key=reader)).status_code == 403
    assert [event for event, *_ in await looks(office)] == ["pictures.listed"] * 2


async def test_a_prune_says_first_what_would_go_and_then_what_went(office: Office) -> None:
    now_ms = office.running.gateway.clock.now_ms()
    old, equal, big, new = await bought(office, "lin", "a", "b", "c", "d")
    await change(office, [old], kept_until_ms=1, bytes=100, digest="a" * 64)
    await change(office, [equal], kept_until_ms=1, bytes=70, digest="b" * 64)
    await change(office, [big], created_at_ms=now_ms - 3 * DAY_MS, bytes=5_000)
    await change(office, [new], bytes=70, digest="b" * 64)
    object.__setattr__(office.running.gateway.library, "bytes_max", 1_000)

    would, went = await office.post("/pictures/prune", dry_run=True), await office.post("/pictures/prune")

    counts = ("pictures", "expired", "expired_bytes", "above", "above_bytes", "file_bytes")
    assert [would[name] for name in counts] == [3, 2, 170, 1, 5_000, 5_100]
    assert (would["dry_run"], went["dry_run"], went["has_more"], went["failed"]) == (True, False, False, [])
    assert (went["pictures"], went["file_bytes"]) == (3, 5_100)
    assert await ids(office) == [new]
    assert [line for line in await looks(office) if line[0] == "pictures.pruned"] == [
        ("pictures.pruned", "pictures", {"pictures": 3})
    ]


@pytest.mark.parametrize("id", ["..%2f..%2fimagegate.db", "%2e%2e", "req_0_0"])
async def test_an_id_that_is_none_is_404(office: Office, id: str) -> None:
    for path in (f"/pictures/{id}", f"/pictures/{id}/content"):
        assert (await office.call("GET", path)).status_code == 404
