"""Filter of the lists of pictures, read from the query string."""

from typing import Annotated

from fastapi import Depends
from fastapi import Query as QueryField

from app.store.picture_lists import PictureFilter

WORDS_MAX = 10
_Instant = Annotated[int | None, QueryField(ge=0, le=32_503_680_000, description="Unix seconds.")]


async def filter_from_query(
    model: Annotated[str | None, QueryField(max_length=200, description="Only of this model.")] = None,
    request: Annotated[str | None, QueryField(max_length=200, description="Only of the request with this id.")] = None,
    words: Annotated[
        str | None,
        QueryField(
            max_length=200, description="Only with each of these words in the first 2,000 characters of the prompt."
        ),
    ] = None,
    shared: Annotated[
        bool,
        QueryField(
            description="Only those shared with a project. With an API key: with the project of the key, instead of one's own."
        ),
    ] = False,
    since: _Instant = None,
    until: _Instant = None,
) -> PictureFilter:
    """Make the filter from the query string. `since` is inclusive, `until` exclusive."""
    return PictureFilter(
        model=model,
        request_id=request,
        since_ms=None if since is None else since * 1000,
        until_ms=None if until is None else until * 1000,
        words=tuple((words or "").replace("\0", " ").split()[:WORDS_MAX]),
        shared=shared,
    )


FilterOfPictures = Annotated[PictureFilter, Depends(filter_from_query)]
