"""Fetching of the pictures that a stored answer holds only links of the relay to."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.blobs.fetched import FetchedFiles
from app.errors import GatewayError
from app.spool import Spool
from app.store.pictures import UntakenAnswer
from app.upstream.fetch import FetchFailed, PictureFetcher

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """Stored answer in `spool` that was read, with the items of its pictures. `fetched` holds what their links led to, by index;
    a link that led to nothing has no entry."""

    answer: UntakenAnswer
    spool: Spool
    items: Sequence[dict[str, Any]]
    fetched: dict[int, Spool] = field(default_factory=dict)

    def links(self) -> Iterator[tuple[int, str]]:
        """Yield index and address of each picture that came without base64."""
        for index, item in enumerate(self.items):
            if "b64_json" not in item and isinstance(item.get("url"), str):
                yield index, item["url"]

    def close(self) -> None:
        """Close the answer and what was fetched."""
        for spool in (self.spool, *self.fetched.values()):
            spool.close()


async def fetch_links(fetcher: PictureFetcher, files: FetchedFiles, answer: ReadAnswer) -> None:
    """Fetch what the links of an answer lead to, unless that is in `files` already. A failure is final, because links of relays end
    within minutes; the log has its reason. Raises StorageFull."""
    fetches = [_fetch(fetcher, files, answer, index, url) for index, url in answer.links()]
    for outcome in await asyncio.gather(*fetches, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _fetch(fetcher: PictureFetcher, files: FetchedFiles, answer: ReadAnswer, index: int, url: str) -> None:
    picture_id = f"{answer.answer.request.id}_{index}"
    if (found := files.open(picture_id)) is not None:
        answer.fetched[index] = found
        return
    spool, path = files.create(picture_id)
    try:
        await fetcher.fetch(url, spool)
        files.finish(picture_id, path)
        answer.fetched[index] = spool
    except FetchFailed as exc:
        log_link_only(answer, index, str(exc))
    except GatewayError:
        raise
    except Exception:  # Neither other answers nor this one must wait for a picture that this program cannot fetch.
        log.exception("a picture cannot be fetched", request_id=answer.answer.request.id, index=index)
    finally:
        if index not in answer.fetched:
            spool.close()
            path.unlink(missing_ok=True)


def log_link_only(answer: ReadAnswer, index: int, reason: str) -> None:
    """Log why a picture is not kept, without its address, whose query is a signature."""
    log.warning(
        "a picture is not kept; the relay's link is all there is",
        request_id=answer.answer.request.id,
        index=index,
        reason=reason,
    )
