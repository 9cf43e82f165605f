"""/organization/usage/images and /organization/costs: what was used and what it cost, in buckets of time."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.api.organization.queries import query
from app.api.organization.usage_answers import COSTS_EXAMPLE, IMAGES_EXAMPLE, costs_answer, images_answer
from app.api.organization.usage_csv import csv_answer
from app.api.organization.usage_queries import CostsQuery, ImagesCsvQuery, ImagesQuery

router = APIRouter(tags=["Usage and costs"])
_CSV = "start_time,end_time,model,requests,images,cost,currency,input_tokens,output_tokens\r\n"


@router.get("/usage/images", response_class=JSONResponse, **described(IMAGES_EXAMPLE, 400, query=ImagesQuery))
async def usage_images(admin: Admin, asked: Annotated[ImagesQuery, Depends(query(ImagesQuery))]) -> JSONResponse:
    """Images and requests that were paid for, at the time of each request.

    Buckets are cut where UTC cuts minutes, hours and days. The first begins with the hour (of minutes: with the minute) that
    holds `start_time`, the last ends with the one that holds `end_time`: its own times say so. `size` is null where neither
    request nor answer named one. `amount_micros` is an extension: what they cost, in millionths of the book's currency.
    """
    return await images_answer(admin.database, asked)


@router.get("/usage/images.csv", **described(_CSV, 400, query=ImagesCsvQuery, content="text/csv", extension=True))
async def usage_images_csv(admin: Admin, asked: Annotated[ImagesCsvQuery, Depends(query(ImagesCsvQuery))]) -> Response:
    """An extension: the same as a table, without pages; names stand beside ids, amounts are plain decimals."""
    return await csv_answer(admin.database, asked, admin.gateway.settings.currency)


@router.get("/costs", response_class=JSONResponse, **described(COSTS_EXAMPLE, 400, query=CostsQuery))
async def costs(admin: Admin, asked: Annotated[CostsQuery, Depends(query(CostsQuery))]) -> JSONResponse:
    """What was spent, by days of UTC, in the book's currency; `value` is a float, as OpenAI's.

    Extensions: `amount_micros`, the exact amount in millionths; grouping by `model`; the filters `models` and `user_ids`.
    """
    return await costs_answer(admin.database, asked, admin.gateway.settings.currency)
