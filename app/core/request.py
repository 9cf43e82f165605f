"""Image requests: the fields that a price depends on, and all others unchanged."""

from dataclasses import dataclass, field
from typing import Any, Literal

from app.spool import Slice, Spool

Operation = Literal["generation", "edit", "variation"]
ResponseFormat = Literal["url", "b64_json"]
PromptLevel = Literal["text", "hash", "none"]
"""What is kept of a prompt: its text and a keyed hash that tells equal ones, the hash only, or neither."""
GPT_IMAGE = ("gpt-image", "chatgpt-image")
"""Prefixes of OpenAI's image models. They always answer base64 and refuse `response_format` (its API reference)."""
DEFAULT_RELAY = "default"
"""Name of the relay that the settings describe."""


@dataclass(frozen=True, slots=True)
class Upload:
    """File of an edit, stored in the request's spool. `digest` is its BLAKE3 in hex; `content_type` is read from its first
    bytes."""

    field: Literal["image", "mask", "markup"]
    piece: Slice
    content_type: str
    width_px: int
    height_px: int
    digest: str


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Image request after validation and defaults.

    `fields` holds every field that goes on to the relay as the client sent it (model, prompt, n, size and quality included),
    in the client's order; for multipart the values are text. Files lie in `spool`, which is None when there are none.
    `size`, `quality` and `response_format` are None when the client left them out; `auto` stays `auto`. After an alias was
    resolved, `model` is the model it stands for and `asked_model` the name that the client sent; otherwise that is None.
    """

    operation: Operation
    model: str
    n: int
    size: str | None
    quality: str | None
    stream: bool
    partial_images: int
    prompt_chars: int
    fields: dict[str, Any]
    uploads: tuple[Upload, ...] = ()
    spool: Spool | None = field(default=None, compare=False)
    response_format: ResponseFormat | None = None
    asked_model: str | None = None

    @property
    def aliased_model(self) -> str | None:
        """Model that the alias in the request stands for; None when the client named the model itself."""
        return None if self.asked_model is None else self.model

    @property
    def answer_format(self) -> ResponseFormat | None:
        """Form of the pictures in the answer: as the client asked, else base64 for a model of OpenAI or a name of one. None: as the
        relay sends them."""
        is_openai = self.model.startswith(GPT_IMAGE) or (self.asked_model or "").startswith(GPT_IMAGE)
        return self.response_format or ("b64_json" if is_openai else None)

    @property
    def source_digest(self) -> str | None:
        """Digest of the first picture to edit; None without one."""
        return next((upload.digest for upload in self.uploads if upload.field == "image"), None)

    def close(self) -> None:
        """Close the spool with the files. Idempotent."""
        if self.spool is not None:
            self.spool.close()
