"""Usage and costs as OpenAI shows them: for the administration API, and for everybody's own figures."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.responses import JSONResponse

from app.api.organization.usage_queries import SOURCE, CostsQuery, ImagesQuery, line_item
from app.control import buckets
from app.control.buckets import Bucket, BucketPage, Row
from app.core.money import MICROS
from app.store.engine import Database

T = TypeVar("T")
_BUCKET = {"object": "bucket", "start_time": 1796083200, "end_time": 1796169600}
_END = {"has_more": False, "next_page": None}
_NOBODY: dict[str, Any] = {"project_id": None, "user_id": None, "api_key_id": None}
IMAGES_EXAMPLE: dict[str, Any] = {
    "object": "page",
    "data": [
        {
            **_BUCKET,
            "results": [
                {
                    "object": "organization.usage.images.result",
                    "images": 12,
                    "num_model_requests": 9,
                    **_NOBODY,
                    "model": "gpt-image-1",
                    "size": None,
                    "source": None,
                    "amount_micros": 12_000_000,
                }
            ],
        }
    ],
    **_END,
}
COSTS_EXAMPLE: dict[str, Any] = {
    "object": "page",
    "data": [
        {
            **_BUCKET,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 12.0, "currency": "cny"},
                    **_NOBODY,
                    "line_item": "gpt-image-1, image.generation",
                    "quantity": 12.0,
                    "quantity_unit": "images",
                    "model": None,
                    "amount_micros": 12_000_000,
                }
            ],
        }
    ],
    **_END,
}


class _Printed(JSONResponse):
    """Of text that is JSON already."""

    def render(self, content: str) -> bytes:
        return content.encode()


async def images_answer(database: Database, asked: ImagesQuery) -> JSONResponse:
    """Raises InvalidValue."""
    wanted = asked.wanted()

    def about(values: tuple[str, ...]) -> str:
        by = dict(zip(wanted.by, values, strict=True))
        operation = by.get("operation")
        source = None if operation is None else f"{SOURCE}{operation}"
        return _members({**_who(by), "model": by.get("model"), "size": by.get("size") or None, "source": source})

    def result(row: Row, group: str) -> str:
        _, _, requests, images, cost_micros = row
        return (
            f'{{"object":"organization.usage.images.result","images":{images},'
            f'"num_model_requests":{requests},{group},"amount_micros":{cost_micros}}}'
        )

    return await _answer(await buckets.read_buckets(database, asked.period(), wanted), about, result)


async def costs_answer(database: Database, asked: CostsQuery, currency: str) -> JSONResponse:
    """Raises InvalidValue."""
    wanted, itemized, by_model = asked.wanted(), "line_item" in asked.group_by, "model" in asked.group_by

    def about(values: tuple[str, ...]) -> tuple[str, str]:
        by = dict(zip(wanted.by, values, strict=True))
        item = line_item(by["model"], by["operation"]) if itemized else None
        return _members({**_who(by), "line_item": item}), _members({"model": by["model"] if by_model else None})

    def result(row: Row, group: tuple[str, str]) -> str:
        _, _, _, images, cost_micros = row
        who, model = group
        unit, quantity = ('"images"', float(images)) if itemized else ("null", "null")
        return (
            f'{{"object":"organization.costs.result","amount":{{"value":{cost_micros / MICROS},'
            f'"currency":"{currency.lower()}"}},{who},"quantity":{quantity},"quantity_unit":{unit},'
            f'{model},"amount_micros":{cost_micros}}}'
        )

    return await _answer(await buckets.read_buckets(database, asked.period(), wanted), about, result)


async def _answer(
    page: BucketPage, about: Callable[[tuple[str, ...]], T], result: Callable[[Row, T], str]
) -> JSONResponse:
    """`about` prints a group once, from its values, and `result` each of its rows with that.

    In a thread: a month by key and size can be tens of thousands of results, and images are under way meanwhile. Building
    objects for `json.dumps` would take three times as long.
    """

    def printed() -> JSONResponse:
        groups = {number: about(values) for number, values in page.groups.items()}
        data = ",".join(_bucket(bucket, groups, result) for bucket in page.buckets)
        end = _members({"has_more": page.next_page is not None, "next_page": page.next_page})
        return _Printed(f'{{"object":"page","data":[{data}],{end}}}')

    return await asyncio.to_thread(printed)


def _bucket(bucket: Bucket, groups: Mapping[int, T], result: Callable[[Row, T], str]) -> str:
    times = f'"start_time":{bucket.start_ms // 1000},"end_time":{bucket.end_ms // 1000}'
    return f'{{"object":"bucket",{times},"results":[{",".join([result(row, groups[row[1]]) for row in bucket.rows])}]}}'


def _members(values: dict[str, Any]) -> str:
    """The inside of a JSON object, as JSONResponse writes it."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))[1:-1]


def _who(by: dict[Any, str]) -> dict[str, str | None]:
    return {name: by.get(name) for name in _NOBODY}
