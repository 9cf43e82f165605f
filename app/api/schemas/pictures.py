"""Kept pictures, their changes, and links to them."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, seconds
from app.pictures.library import RemovedPictures
from app.store.due_pictures import DuePictures
from app.store.picture_lists import PictureDetail, PictureViewer
from app.store.pictures import Visibility

LINK_S_MAX = 7 * 86_400
_PICTURE = {
    "id": "req_01a1ff32beb40ea6e55605530862_0",
    "object": "image.picture",
    "request_id": "req_01a1ff32beb40ea6e55605530862",
    "index": 0,
    "created_at": 1795996821,
    "kept_until": 1798588821,
    "media_type": "image/png",
    "width": 1024,
    "height": 1024,
    "bytes": 1_482_113,
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    "c2pa": False,
    "visibility": "private",
    "prompt": None,
    "model": "gpt-image-1",
    "cost_micros": 1_000_000,
    "duplicate_of": None,
}
_OWNED = {"user_id": "user-7d2n0q5f2m0c", "user": "lin", "project_id": "proj_3v9d4h6j2n0q", "project": "web"}
_PRUNED = {
    "object": "pictures.pruned",
    "dry_run": True,
    "pictures": 312,
    "file_bytes": 451_200_331,
    "expired": 300,
    "expired_bytes": 433_221_000,
    "above": 12,
    "above_bytes": 19_030_222,
    "has_more": False,
    "failed": [],
}
_LINK = {
    "url": "https://images.example.com/v1/images/pictures/req_01a1ff32beb40ea6e55605530862_0/content?expires=1796000421&signature=9f2c",
    "expires_at": 1796000421,
}


class PictureOut(AnswerModel, json_schema_extra={"example": _PICTURE}):
    """Picture that was bought and is kept; `/content` after its address gives its bytes as the relay sent them."""

    id: str
    object: Literal["image.picture"] = "image.picture"
    request_id: str
    index: int = Field(description="Place in `data` of the answer, from 0.")
    created_at: int
    kept_until: int = Field(description="Unix seconds.")
    media_type: str
    width: int | None = Field(description="Pixels; null where the header cannot be read.")
    height: int | None
    bytes: int
    blake3: str = Field(description="BLAKE3 of the bytes, in hex.")
    c2pa: bool = Field(description="It carries a C2PA manifest, which says who made it.")
    visibility: Visibility
    prompt: str | None = Field(description="Null where prompts are not kept.")
    model: str
    cost_micros: int | None = Field(
        description="Cost of its request with all its pictures; null for a picture of another user."
    )
    duplicate_of: str | None = Field(
        description="Picture that its owner had bought by an equal request before; null for a picture of another user."
    )

    @classmethod
    def of(cls, found: PictureDetail, viewer: PictureViewer) -> Self:
        """Make the answer for a viewer; only the owner is told the cost, and of an equal request before."""
        is_own = found.record.user_id == viewer.user_id
        own = {name: getattr(found, name) if is_own else None for name in ("cost_micros", "duplicate_of")}
        return cls(**_fields(found), **own, prompt=found.prompt)


class PictureWithOwnerOut(PictureOut, json_schema_extra={"example": _PICTURE | _OWNED}):
    """Picture of somebody, as administrators see it."""

    user_id: str
    user: str
    project_id: str
    project: str

    @classmethod
    def of_administrator(cls, found: PictureDetail, *, may_read: bool) -> Self:
        """Make the answer for an administrator, with the prompt if they may read it."""
        owner = {name: getattr(found.record, name) for name in ("user_id", "project_id")}
        names = {"user": found.user, "project": found.project}
        prompt = found.prompt if may_read else None
        money = {"cost_micros": found.cost_micros, "duplicate_of": found.duplicate_of}
        return cls(**_fields(found), **owner, **names, prompt=prompt, **money)


def _fields(found: PictureDetail) -> dict[str, Any]:
    """Return the fields that every viewer of a picture is told."""
    record = found.record
    named = ("id", "request_id", "index", "media_type", "bytes", "c2pa", "visibility", "model")
    return {name: getattr(record, name) for name in named} | {
        "created_at": seconds(record.created_at_ms),
        "kept_until": seconds(record.kept_until_ms),
        "width": record.width_px,
        "height": record.height_px,
        "blake3": record.digest,
    }


class PicturesPrune(InputModel, json_schema_extra={"example": {"dry_run": True}}):
    """Removal of the pictures that are due, as the gateway does it by itself every minute."""

    dry_run: bool = Field(False, description="Only count what is due.")


class PrunedOut(AnswerModel, json_schema_extra={"example": _PRUNED}):
    """Pictures that are due or, after a run, were removed. `file_bytes` is what the disk or the bucket gets back: equal pictures
    share a file."""

    object: Literal["pictures.pruned"] = "pictures.pruned"
    dry_run: bool
    pictures: int
    file_bytes: int
    expired: int | None = Field(None, description="Of a dry run: pictures whose time has passed.")
    expired_bytes: int | None = None
    above: int | None = Field(None, description="Of a dry run: the oldest above IMAGEGATE_PICTURES_BYTES_MAX.")
    above_bytes: int | None = None
    has_more: bool = Field(False, description="The run took its 2 s and others are due: call again.")
    failed: list[str] = Field([], description="Pictures that are still there: the bucket did not remove them.")

    @classmethod
    def of_due(cls, due: DuePictures) -> Self:
        return cls.from_record(due, dry_run=True, pictures=due.expired + due.above, has_more=False, failed=[])

    @classmethod
    def of_removed(cls, removed: RemovedPictures) -> Self:
        return cls.from_record(removed, dry_run=False, failed=list(removed.failed))


class PictureChange(InputModel, json_schema_extra={"example": {"visibility": "project", "kept_until": 1798588821}}):
    """Change of a picture; what is not named stays."""

    visibility: Visibility | None = Field(None, description="project: everybody with a key of its project sees it.")
    kept_until: int | None = Field(None, ge=0, le=32_503_680_000, description="Unix seconds, within ten years.")


class LinkCreate(InputModel, json_schema_extra={"example": {"seconds": 3600}}):
    """Wish for a link to a picture."""

    seconds: int = Field(86_400, ge=1, le=LINK_S_MAX, description="How long it works; 7 days at most.")


class LinkOut(AnswerModel, json_schema_extra={"example": _LINK}):
    """Signed link to a picture; whoever has it has the picture."""

    url: str
    expires_at: int
