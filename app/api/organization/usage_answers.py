"""Usage and costs as OpenAI shows them: for the administration API, and for everybody's own figures."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse

from app.api.organization.usage_queries import SOURCE, CostsQuery, ImagesQuery, line_item
from app.control import buckets
from app.control.buckets import Bucket, BucketPage, Portion
from app.core.money import MICROS
from app.store.engine import Database

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


async def images_answer(database: Database, asked: ImagesQuery) -> JSONResponse:
    """Raises InvalidValue."""
    wanted = asked.wanted()

    def result(portion: Portion) -> dict[str, Any]:
        by = dict(zip(wanted.by, portion.values, strict=True))
        operation = by.get("operation")
        return {
            "object": "organization.usage.images.result",
            "images": portion.sums.images,
            "num_model_requests": portion.sums.requests,
            **_who(by),
            "model": by.get("model"),
            "size": by.get("size") or None,
            "source": None if operation is None else f"{SOURCE}{operation}",
            "amount_micros": portion.sums.cost_micros,
        }

    return await _answer(await buckets.read_buckets(database, asked.period(), wanted), result)


async def costs_answer(database: Database, asked: CostsQuery, currency: str) -> JSONResponse:
    """Raises InvalidValue."""
    wanted, itemized, by_model = asked.wanted(), "line_item" in asked.group_by, "model" in asked.group_by

    def result(portion: Portion) -> dict[str, Any]:
        by = dict(zip(wanted.by, portion.values, strict=True))
        return {
            "object": "organization.costs.result",
            "amount": {"value": portion.sums.cost_micros / MICROS, "currency": currency.lower()},
            **_who(by),
            "line_item": line_item(by["model"], by["operation"]) if itemized else None,
            "quantity": float(portion.sums.images) if itemized else None,
            "quantity_unit": "images" if itemized else None,
            "model": by["model"] if by_model else None,
            "amount_micros": portion.sums.cost_micros,
        }

    return await _answer(await buckets.read_buckets(database, asked.period(), wanted), result)


async def _answer(page: BucketPage, result: Callable[[Portion], dict[str, Any]]) -> JSONResponse:
    """In a thread: a month by key and size can be tens of thousands of results, and images are under way meanwhile."""
    return await asyncio.to_thread(lambda: JSONResponse(_page(page, result)))


def _page(page: BucketPage, result: Callable[[Portion], dict[str, Any]]) -> dict[str, Any]:
    return {
        "object": "page",
        "data": [_bucket(bucket, result) for bucket in page.buckets],
        "has_more": page.next_page is not None,
        "next_page": page.next_page,
    }


def _bucket(bucket: Bucket, result: Callable[[Portion], dict[str, Any]]) -> dict[str, Any]:
    return {
        "object": "bucket",
        "start_time": bucket.start_ms // 1000,
        "end_time": bucket.end_ms // 1000,
        "results": [result(portion) for portion in bucket.portions],
    }


def _who(by: dict[Any, str]) -> dict[str, str | None]:
    return {name: by.get(name) for name in _NOBODY}
