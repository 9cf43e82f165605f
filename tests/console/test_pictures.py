"""Page of the pictures: who sees and changes which, what stays closed without a logged click, and downloads of several."""

import io
import re
from zipfile import ZipFile

import pytest
import sqlalchemy as sa

from app.console import gallery
from app.core.intervals import DAY_MS
from app.store.tables import audit_logs, pictures
from tests.console.conftest import NASTY, House

LISTED = re.compile(r'class="shot">.*?name="id" value="(req_\w+)"', re.DOTALL)


async def listed(house: House, who: str, path: str = "/pictures") -> list[str]:
    """Ids of the pictures in the grid, in its order."""
    answer = await house.get(path, who)
    assert answer.status_code == 200, answer.text[-800:]
    return LISTED.findall(answer.text)


async def change(house: House, id: str, **values: object) -> None:
    async with house.running.database.transaction() as connection:
        await connection.execute(sa.update(pictures).where(pictures.c.id == id).values(values))


async def row(house: House, id: str) -> sa.RowMapping | None:
    async with house.running.database.read() as connection:
        return (await connection.execute(sa.select(pictures).where(pictures.c.id == id))).mappings().one_or_none()


async def content(house: House, who: str, id: str) -> bytes:
    answer = await house.get(f"/pictures/{id}/content", who)
    assert answer.status_code == 200
    return answer.content


async def openings(house: House) -> list[str]:
    """Targets of the lines about opened pictures in the audit log."""
    async with house.running.database.read() as connection:
        wanted = sa.select(audit_logs.c.target_id).where(audit_logs.c.event == "picture.opened")
        return list((await connection.execute(wanted)).scalars())


async def test_members_see_their_own_and_what_is_shared_with_them(house: House) -> None:
    [of_mia], [of_max] = await house.buy("mia", "a red lighthouse"), await house.buy("max", "a blue harbour")
    assert await listed(house, "mia") == await listed(house, "mia", "/pictures?of=all") == [of_mia]
    assert await listed(house, "mia", "/pictures?of=shared") == []
    assert (await house.get(f"/pictures/{of_max}", "mia")).status_code == 404

    assert (await house.post(f"/pictures/{of_max}", "max", do="share")).status_code == 303

    assert await listed(house, "mia", "/pictures?of=shared&person=MAX&q=harbour") == [of_max]
    assert await listed(house, "mia", "/pictures?of=shared&person=olga") == []
    shown = (await house.get(f"/pictures/{of_max}?of=shared", "mia")).text
    assert "a blue harbour" in shown and ">max<" in shown
    edit = f'href="/console/create/edit?picture={of_max}">Edit<'
    assert edit in shown and edit not in (await house.get(f"/pictures/{of_max}?of=all", "rita")).text
    assert "CNY" not in shown and "1.00 CNY" in (await house.get(f"/pictures/{of_max}", "max")).text
    assert 'value="keep"' not in shown.partition("<aside")[2]
    for action in ("private", "keep", "link", "delete"):
        assert (await house.post(f"/pictures/{of_max}", "mia", do=action, days="30")).status_code == 403
    answer = await house.post("/pictures", "mia", do="private", id=of_max)
    assert "count=0&others=1" in answer.headers["location"]
    assert await listed(house, "max", "/pictures?of=shared") == [of_max]


async def test_owners_and_readers_see_that_private_pictures_are_there_and_not_what_they_show(house: House) -> None:
    [id] = await house.buy("mia", "a secret campaign")

    for who in ("rita", "olga"):
        grid, page = await house.get("/pictures?of=all", who), await house.get(f"/pictures/{id}?of=all", who)
        assert f"/pictures/{id}" in grid.text and "secret" not in grid.text + page.text
        assert "1 private picture<" in grid.text and '<details class="private">' in grid.text
        assert '<details class="private" open>' in page.text  # The one that is shown beside the grid.
        assert "1.00 CNY" in page.text and "mia" in page.text
        assert f"/pictures/{id}" not in (await house.get("/pictures?of=all&q=secret", who)).text
        assert (await house.get(f"/pictures/{id}/thumbnail", who)).status_code == 403
        assert (await house.get(f"/pictures/{id}/content?download=1", who)).status_code == 403
        assert (await house.get(f"/pictures.zip?id={id}", who)).status_code == 400
    assert (await house.post(f"/pictures/{id}", "rita", do="open")).status_code == 403
    assert await openings(house) == []

    opened = await house.post(f"/pictures/{id}", "olga", do="open")

    assert "a secret campaign" in opened.text
    assert await openings(house) == [id]
    address = re.search(r'src="(/v1/organization[^"]+)"', opened.text)
    assert address is not None
    cookie = {"Cookie": f"imagegate={house.tokens['olga']}"}
    assert (await house.http.get(address[1], headers=cookie)).content == await content(house, "mia", id)
    assert await openings(house) == [id, id]


async def test_an_own_picture_is_shared_kept_longer_linked_and_deleted(house: House) -> None:
    [id] = await house.buy("mia")
    before = await row(house, id)

    await house.post(f"/pictures/{id}", "mia", do="keep", days="90")
    linked = await house.post(f"/pictures/{id}", "mia", do="link", lasts="week")

    after = await row(house, id)
    assert before is not None and after is not None
    assert after["kept_until_ms"] - before["kept_until_ms"] == 90 * DAY_MS
    found = re.search(r'id="link" readonly value="([^"]+)"', linked.text)
    assert found is not None
    url = found[1].replace("&amp;", "&")
    assert url.startswith(house.running.url)
    assert (await house.http.get(url)).content == await content(house, "mia", id)
    assert "content-encoding" not in linked.headers
    assert (
        "Whoever has a link" in linked.text
        and "Whoever has a link" in (await house.get(f"/pictures/{id}", "rita")).text
    )
    log = (await house.get(f"/audit?target={id}", "olga")).text
    assert "Picture: link handed out" in log and ">mia</a>" in log

    gone = await house.post(f"/pictures/{id}?q=lighthouse", "mia", do="delete")

    assert gone.headers["location"].startswith("/console/pictures?of=mine&q=lighthouse&done=delete")
    page = await house.get(f"/pictures/{id}", "mia")
    assert (page.status_code, "This picture is gone" in page.text) == (404, True)
    assert (await house.http.get(url)).status_code == 404


async def test_several_are_changed_at_once_and_deleted_after_a_question(house: House) -> None:
    ids = await house.buy("mia", n=3)
    fields = {"do": "delete", "id": ids[1]}

    asked = await house.post("/pictures", "mia", **fields)

    assert (asked.status_code, ids[1] in asked.text) == (200, True)
    assert set(await listed(house, "mia")) == set(ids)
    assert (await house.post("/pictures", "mia", **fields, sure="yes")).status_code == 303
    assert set(await listed(house, "mia")) == {ids[0], ids[2]}
    assert await listed(house, "mia", f"/pictures?after={ids[1]}") == [ids[0]]  # It goes on after one that is gone.
    assert await listed(house, "mia", "/pictures?after=req_none_0") == [ids[2], ids[0]]  # From the top.
    answer = await house.post("/pictures", "olga", do="delete", id=ids[0], sure="yes")
    assert "done=delete&count=1" in answer.headers["location"]
    async with house.running.database.read() as connection:
        wanted = sa.select(audit_logs.c.target_id).where(audit_logs.c.event == "picture.deleted")
        assert list((await connection.execute(wanted)).scalars()) == [ids[0]]


async def test_a_zip_holds_the_originals_under_speaking_names(house: House) -> None:
    ids = [*await house.buy("mia", n=2), *await house.buy("mia", "another")]
    [of_max] = await house.buy("max")
    await change(house, ids[0], created_at_ms=1_772_208_000_000)  # 00:00 of 28 February in Shanghai.
    lost = await row(house, ids[2])
    assert lost is not None
    originals = [await content(house, "mia", id) for id in ids]
    await house.running.gateway.library.files.blobs.remove([lost["digest"]])

    answer = await house.get("/pictures.zip?" + "&".join(f"id={id}" for id in [*ids, of_max]), "mia")

    archive = ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len(names) == 3 and names[-1] == "missing.txt"
    assert f"2026-02-28_gpt-image-1_{ids[0]}.png" in names
    assert ids[2] in archive.read("missing.txt").decode()
    for id, original in zip(ids[:2], originals, strict=False):
        [name] = [name for name in names if id in name]
        assert archive.read(name) == original
        assert archive.getinfo(name).compress_size == len(original)


async def test_the_list_is_read_in_pages_by_days_of_the_zone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "PAGE_PICTURES", 2)
    ids = await house.buy("mia", n=3)
    for number, id in enumerate(ids):
        await change(house, id, created_at_ms=1_772_208_000_000 - number)  # Midnight in Shanghai, and just before.

    first = await house.get("/pictures?model=gpt-image-1", "mia")

    assert LISTED.findall(first.text) == ids[:2]
    assert first.text.index("28 Feb 2026") < first.text.index("27 Feb 2026")
    assert "2 of at least 3" in first.text
    older = re.search(r'href="/console(/pictures\?[^"]*after=[^"]+)">Older', first.text)
    assert older is not None and "model=gpt-image-1" in older[1]
    assert await listed(house, "mia", older[1].replace("&amp;", "&")) == ids[2:]
    assert await listed(house, "mia", "/pictures?model=seedream-3.0") == []


async def test_script_in_prompts_and_addresses_stays_text(house: House) -> None:
    [id] = await house.buy("mia", f"{NASTY} in a prompt")
    await house.post(f"/pictures/{id}", "mia", do="share")

    for who, path in (
        ("mia", "/pictures"),
        ("olga", f"/pictures/{id}"),
        ("mia", f"/pictures?of=shared&q={NASTY}&person={NASTY}"),
    ):
        text = (await house.get(path, who)).text
        assert NASTY not in text and "&lt;script&gt;" in text, path
    assert (
        "<b>"
        not in (await house.get("/pictures?done=delete&count=<b>1", "mia")).text.partition('role="status"')[2][:80]
    )


async def test_addresses_that_name_nothing_are_no_errors_of_the_gateway(house: House) -> None:
    assert await listed(house, "olga", "/pictures?of=nobody&done=open&count=-1&after=req_none_0") == []
    for path in ("/pictures/%00", "/pictures/req_none_0", "/pictures?q=%00", "/pictures.zip?id=%00", "/keys?q=%00"):
        assert (await house.get(path, "olga")).status_code == 404, path


async def test_a_browser_asks_whether_it_may_still_show_a_picture(house: House) -> None:
    [id] = await house.buy("mia")
    for part in ("thumbnail", "content"):
        whole = await house.get(f"/pictures/{id}/{part}", "mia")
        etag = {"If-None-Match": whole.headers["etag"]}
        known = await house.get(f"/pictures/{id}/{part}", "mia", **etag)
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", whole.headers["etag"])
        assert (await house.get(f"/pictures/{id}/{part}", "max", **etag)).status_code == 404


async def test_a_picture_without_a_thumbnail_has_a_calm_place(house: House) -> None:
    [id] = await house.buy("mia")
    found = await row(house, id)
    assert found is not None

    thumbnail = await house.get(f"/pictures/{id}/thumbnail", "mia")
    await house.running.gateway.library.thumbnails.files.blobs.remove([found["digest"]])
    await house.running.gateway.library.files.blobs.remove([found["digest"]])
    missing, content = [await house.get(f"/pictures/{id}/{part}", "mia") for part in ("thumbnail", "content")]

    assert (thumbnail.headers["content-type"], thumbnail.headers["cache-control"]) == (
        "image/webp",
        "private, no-cache",
    )
    for answer in (missing, content):
        facts = (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"])
        assert facts == (200, "image/svg+xml", "no-store")
    assert (await house.get(f"/pictures/{id}/content?download=1", "mia")).status_code == 404
    assert f'width="{found["width_px"]}" height="{found["height_px"]}"' in (await house.get("/pictures", "mia")).text
