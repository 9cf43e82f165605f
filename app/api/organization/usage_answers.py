"""Answers of usage and costs in OpenAI's form, for the administration API and for API keys about their own user."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.responses import Response

from app.api.organization.usage_queries import SOURCE, CostsQuery, ImagesQuery, line_item
from app.control import buckets
from app.control.buckets import BucketPage, UsageBucket
from app.core.money import MICROS
from app.store.buckets import Row
from app.store.engine import Database

_IDS = ("project_id", "user_id", "api_key_id")


async def images_answer(database: Database, query: ImagesQuery) -> Response:
    """Make a page of usage of images in buckets of time. Raises InvalidValue for the limit or the page."""
    wanted = query.wanted()

    def group(values: tuple[str, ...]) -> dict[str, Any]:
        by = dict(zip(wanted.by, values, strict=True))
        operation = by.get("operation")
        source = None if operation is None else f"{SOURCE}{operation}"
        return {**_ids(by), "model": by.get("model"), "size": by.get("size") or None, "source": source}

    def result(row: Row, group: dict[str, Any]) -> dict[str, Any]:
        _, _, requests, images, cost_micros = row
        return {
            "object": "organization.usage.images.result",
            "images": images,
            "num_model_requests": requests,
            **group,
            "amount_micros": cost_micros,
        }

    return await _answer(await buckets.read_buckets(database, query.period(), wanted), group, result)


async def costs_answer(database: Database, query: CostsQuery, currency: str) -> Response:
    """Make a page of costs in buckets of time. Raises InvalidValue for the limit or the page."""
    wanted, itemized, by_model = query.wanted(), "line_item" in query.group_by, "model" in query.group_by

    def group(values: tuple[str, ...]) -> dict[str, Any]:
        by = dict(zip(wanted.by, values, strict=True))
        item = line_item(by["model"], by["operation"]) if itemized else None
        unit = "images" if itemized else None
        return {**_ids(by), "line_item": item, "quantity_unit": unit, "model": by["model"] if by_model else None}

    def result(row: Row, group: dict[str, Any]) -> dict[str, Any]:
        _, _, _, images, cost_micros = row
        return {
            "object": "organization.costs.result",
            "amount": {"value": cost_micros / MICROS, "currency": currency.lower()},
            **group,
            "quantity": float(images) if itemized else None,
            "amount_micros": cost_micros,
        }

    return await _answer(await buckets.read_buckets(database, query.period(), wanted), group, result)


def json_response(answer: dict[str, Any]) -> Response:
    """Write an answer with orjson, without validation: it may have megabytes."""
    return Response(orjson.dumps(answer), media_type="application/json")


async def _answer(
    page: BucketPage,
    group: Callable[[tuple[str, ...]], dict[str, Any]],
    result: Callable[[Row, dict[str, Any]], dict[str, Any]],
) -> Response:
    """Write a page. `group` makes the fields of a group from its values, once; `result` makes those of each row.

    It runs in a thread: tens of thousands of results would block the event loop.
    """

    def written() -> Response:
        groups = {number: group(values) for number, values in page.groups.items()}
        data = [_bucket(bucket, groups, result) for bucket in page.buckets]
        has_more = page.next_page is not None
        return json_response({"object": "page", "data": data, "has_more": has_more, "next_page": page.next_page})

    return await asyncio.to_thread(written)


def _bucket(
    bucket: UsageBucket,
    groups: Mapping[int, dict[str, Any]],
    result: Callable[[Row, dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    results = [result(row, groups[row[1]]) for row in bucket.rows]
    times = {"start_time": bucket.start_ms // 1000, "end_time": bucket.end_ms // 1000}
    return {"object": "bucket", **times, "results": results}


def _ids(by: dict[Any, str]) -> dict[str, str | None]:
    return {name: by.get(name) for name in _IDS}
