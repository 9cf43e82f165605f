"""Kept pictures, their changes, and links to them."""

from typing import Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, seconds
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

    @classmethod
    def of(cls, found: PictureDetail, viewer: PictureViewer) -> Self:
        """Make the answer for a viewer; only the owner is told the cost."""
        record = found.record
        return cls.from_record(
            record,
            kept_until=seconds(record.kept_until_ms),
            width=record.width_px,
            height=record.height_px,
            blake3=record.digest,
            prompt=found.prompt,
            cost_micros=found.cost_micros if record.user_id == viewer.user_id else None,
        )


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
