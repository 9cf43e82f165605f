"""Rows of pictures, and the stored answers whose pictures are still to be kept."""

from dataclasses import replace

from app.store.ledger.columns import Cut, StoredResult
from app.store.pictures import PictureRecord, PictureRows, TakenAnswer
from app.store.results import ResultRows
from tests.store.purchasing import NOW_MS, Desk, settlement

PICTURE = PictureRecord(
    id="",
    request_id="",
    index=0,
    user_id="user-1",
    project_id="proj_1",
    model="gpt-image-1",
    digest="0" * 64,
    media_type="image/png",
    width_px=4,
    height_px=3,
    bytes=70,
    c2pa=True,
    visibility="private",
    created_at_ms=NOW_MS,
    kept_until_ms=NOW_MS + 1000,
)


async def settled(desk: Desk, created_at_ms: int) -> str:
    order = await desk.order()
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, order.owner, NOW_MS, "default")
    result = StoredResult(b"an answer", 9, created_at_ms, created_at_ms + 1000)
    await desk.ledger.settle(order.request_id, settlement(result=result))
    return order.request_id


def taken(request_id: str) -> TakenAnswer:
    pictures = tuple(
        replace(PICTURE, id=f"{request_id}_{index}", request_id=request_id, index=index) for index in (0, 1)
    )
    return TakenAnswer(request_id, pictures, (Cut(3, 100, 0), Cut(120, 50, 1)), b"rest")


async def test_an_answer_is_listed_until_its_pictures_are_recorded_and_they_are_recorded_once(desk: Desk) -> None:
    rows, kept_answers = PictureRows(desk.database), ResultRows(desk.database)
    first, second = await settled(desk, NOW_MS), await settled(desk, NOW_MS + 1)

    listed = await rows.untaken(NOW_MS + 1, 10)
    assert await rows.record([taken(first)]) == [first]
    whole = await kept_answers.find(first)
    assert await rows.finish([taken(first)]) == [first]
    another = replace(taken(first), pictures=(replace(PICTURE, id="another", request_id=first),))
    assert (await rows.record([another]), await rows.finish([another])) == ([], [])

    assert [(each.request.id, each.user_id, each.project_id) for each in listed] == [
        (first, "user-1", "proj_1"),
        (second, "user-1", "proj_1"),
    ]
    assert [each.request.id for each in await rows.untaken(NOW_MS + 1, 10)] == [second]
    assert await rows.untaken(NOW_MS, 10) == []
    assert await rows.of_request(first) == list(taken(first).pictures)
    assert await rows.find(f"{first}_1") == taken(first).pictures[1]
    kept = await kept_answers.find(first)
    assert whole is not None and kept is not None
    assert (whole.body, kept.body, kept.body_bytes) == (b"an answer", b"rest", 4)


async def test_an_answer_without_pictures_is_left_as_it_is(desk: Desk) -> None:
    rows = PictureRows(desk.database)
    id = await settled(desk, NOW_MS)

    assert await rows.finish([TakenAnswer(id, (), (), None)]) == [id]

    assert await rows.untaken(NOW_MS, 10) == []
    kept = await ResultRows(desk.database).find(id)
    assert kept is not None
    assert kept.body == b"an answer"


async def test_a_page_of_untaken_answers_begins_after_the_last_one(desk: Desk) -> None:
    rows = PictureRows(desk.database)
    ids = [await settled(desk, NOW_MS) for _ in range(3)]

    [first] = await rows.untaken(NOW_MS, 1)
    others = await rows.untaken(NOW_MS, 10, after=(first.created_at_ms, first.request.id))

    assert [first.request.id, *(each.request.id for each in others)] == sorted(ids)
