"""Validation of a request's fields: those that the price depends on are checked, all others go to the relay unchanged."""

import json
import re
from collections.abc import Sequence
from typing import Any

from app.core.field_names import NAME_CHARS_MAX, READ_FIELDS, without_destinations
from app.core.request import ImageRequest, Operation, ResponseFormat, Upload
from app.core.spellings import folded_choice
from app.core.uploads import IMAGES_MAX, PIXELS_MAX, FilePart, read_uploads, upload_field
from app.errors import DuplicateKey, InvalidMultipart, InvalidType, InvalidValue, MissingParameter, StringTooLong
from app.spool import Spool

MODEL_DEFAULT = "gpt-image-1"
MODEL_CHARS_MAX = 200
PROMPT_CHARS_MAX = 32_000
USER_CHARS_MAX = 256
CHOICE_CHARS_MAX = 32
N_MAX = 10
PARTIAL_IMAGES_MAX = 3

_INTEGER = re.compile(r"-?[0-9]{1,18}")
# Parts of a model's name that would make it a path, a query or an escape. `_visible` refuses spaces and control characters.
_PATH_LIKE = re.compile(r"^[./~]|\.\.|//|[\\?#%]|/$")


def generation(fields: dict[str, Any]) -> ImageRequest:
    """Make a generation from a JSON object. Raises InvalidType, InvalidValue, MissingParameter and StringTooLong."""
    kept = without_destinations(fields)
    return _request("generation", kept, kept)


def edit(
    fields: dict[str, str | list[str]],
    files: Sequence[FilePart],
    spool: Spool,
    *,
    images_max: int = IMAGES_MAX,
    pixels_max: int = PIXELS_MAX,
) -> ImageRequest:
    """Make an edit from a multipart form; the request owns `spool` then. Raises as `generation` and `read_uploads` do.

    Empty text and `n=0` count as absent: some clients always write every field.
    """
    kept = without_destinations(_without_unset(fields))
    uploads = read_uploads(files, spool, images_max, pixels_max)
    return _request("edit", _typed_fields(kept), _check_names(_with_lower_case_stream(kept)), uploads, spool)


def edit_json(
    fields: dict[str, Any],
    files: Sequence[FilePart],
    spool: Spool,
    *,
    images_max: int = IMAGES_MAX,
    pixels_max: int = PIXELS_MAX,
) -> ImageRequest:
    """Make an edit from a JSON object whose images were moved to `files`; the result is as from a multipart form.

    `fields` is the object without `images` and `mask`; its values become the text that SDKs write for them.
    """
    kept = without_destinations(fields)
    for name in kept:
        if upload_field(name) is not None:
            raise InvalidValue(f"A JSON edit takes its pictures in 'images' and 'mask', not in {name!r}.", param=name)
    uploads = read_uploads(files, spool, images_max, pixels_max)
    return _request("edit", kept, _check_names(_form_fields(kept)), uploads, spool)


def variation(
    fields: dict[str, str | list[str]], files: Sequence[FilePart], spool: Spool, *, pixels_max: int = PIXELS_MAX
) -> ImageRequest:
    """Make a variation of one image from a multipart form; as `edit`, but without prompt, mask and streaming."""
    for file in files:
        if upload_field(file.name) != "image":
            raise InvalidMultipart(f"A variation takes one file, 'image'; remove {file.name!r}.", param=file.name)
    kept = without_destinations(_without_unset(fields))
    uploads = read_uploads(files, spool, 1, pixels_max)
    return _request("variation", _typed_fields(kept), _check_names(_with_lower_case_stream(kept)), uploads, spool)


# --- fields ---------------------------------------------------------------------------------------------------------


def _check_names(texts: dict[str, Any]) -> dict[str, Any]:
    """Check the names, which go into headers of form parts, where a quote or a line break could begin another field."""
    for name in texts:
        if not name.isprintable() or not 0 < len(name) <= NAME_CHARS_MAX or '"' in name or "\\" in name:
            message = f"A field's name must be 1 to {NAME_CHARS_MAX} visible characters without quotes and backslashes."
            raise InvalidValue(message, param=ascii(name[:64])[1:-1])
    return texts


def _without_unset(fields: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    return {name: value for name, value in fields.items() if value != "" and not (name == "n" and value == "0")}


def _typed_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Convert the READ_FIELDS of a form to the types of JSON. Text that is no number or boolean stays text and is refused later."""
    read = {name: value for name, value in fields.items() if name in READ_FIELDS}
    for name, value in read.items():
        if isinstance(value, list):
            raise DuplicateKey(f"The field {name!r} came {len(value)} times; send it once.", param=name)
        if name in ("n", "partial_images") and _INTEGER.fullmatch(value):
            read[name] = int(value)
        if name == "stream" and value.lower() in ("true", "false"):
            read[name] = value.lower() == "true"
    return read


def _with_lower_case_stream(fields: dict[str, Any]) -> dict[str, Any]:
    """Write `True` and `False` of Python clients in lower case, the only spelling that the relay reads."""
    stream = fields.get("stream")
    return fields if not isinstance(stream, str) else {**fields, "stream": stream.lower()}


def _form_fields(fields: dict[str, Any]) -> dict[str, str | list[str]]:
    """Write JSON values as form fields, as the SDKs do: `list[]`, `object[key]`, true and false."""
    texts: dict[str, str | list[str]] = {}
    for name, value in fields.items():
        if isinstance(value, list):
            texts[f"{name}[]"] = [_scalar_text(item) for item in value]
        elif isinstance(value, dict):
            texts.update({f"{name}[{key}]": _scalar_text(item) for key, item in value.items() if item is not None})
        else:
            texts[name] = _scalar_text(value)
    return texts


def _scalar_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- fields that the gateway reads -----------------------------------------------------------------------------------


def _request(
    operation: Operation,
    read: dict[str, Any],
    fields: dict[str, Any],
    uploads: tuple[Upload, ...] = (),
    spool: Spool | None = None,
) -> ImageRequest:
    model = _model(read)
    prompt = _prompt(read, required=operation != "variation")
    _user(read)
    stream = read.get("stream", False)
    if not isinstance(stream, bool):
        raise InvalidType("'stream' must be true or false.", param="stream")
    if stream and operation == "variation":
        raise InvalidValue("A variation cannot be streamed; leave 'stream' out.", param="stream")
    size, quality = _choice(read, "size"), _choice(read, "quality")
    spelled = {name: text for name, text in (("size", size), ("quality", quality)) if text is not None}
    return ImageRequest(
        operation=operation,
        model=model,
        n=_integer(read, "n", 1, N_MAX, default=1),
        size=size,
        quality=quality,
        stream=stream,
        partial_images=_integer(read, "partial_images", 0, PARTIAL_IMAGES_MAX, default=0),
        prompt_chars=len(prompt),
        fields=(fields if "model" in fields else {"model": model, **fields}) | spelled,
        uploads=uploads,
        spool=spool,
        response_format=_response_format(read),
    )


def _string(read: dict[str, Any], name: str, chars_max: int) -> str | None:
    value = read.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidType(f"{name!r} must be a string, not {_kind(value)}.", param=name)
    if len(value) > chars_max:
        message = f"{name!r} has {len(value):,} characters; at most {chars_max:,} are allowed. Shorten it."
        raise StringTooLong(message, param=name)
    if "\0" in value:
        raise InvalidValue(f"{name!r} holds a NUL character; remove it.", param=name)
    return value


def _model(read: dict[str, Any]) -> str:
    model = _string(read, "model", MODEL_CHARS_MAX)
    if model is None:
        return MODEL_DEFAULT
    if not _visible(model) or _PATH_LIKE.search(model):
        raise InvalidValue("'model' is not a model's name; list the names with GET /v1/models.", param="model")
    return model


def _prompt(read: dict[str, Any], *, required: bool) -> str:
    prompt = _string(read, "prompt", PROMPT_CHARS_MAX)
    if prompt is None:
        if required:
            raise MissingParameter("'prompt' is missing; say what the picture should show.", param="prompt")
        return ""
    if not prompt.strip():
        raise InvalidValue("'prompt' is blank; say what the picture should show.", param="prompt")
    return prompt


def _user(read: dict[str, Any]) -> None:
    _string(read, "user", USER_CHARS_MAX)


def _choice(read: dict[str, Any], name: str) -> str | None:
    """Read size or quality in its one spelling. Any word passes here; the catalog checks which ones a model takes."""
    value = _string(read, name, CHOICE_CHARS_MAX)
    if value is None:
        return None
    spelled = folded_choice(value)
    if not value.isprintable() or not _visible(spelled) or len(spelled) > CHOICE_CHARS_MAX:
        raise InvalidValue(f"{name!r} must be 1 to {CHOICE_CHARS_MAX} visible characters.", param=name)
    return spelled


def _response_format(read: dict[str, Any]) -> ResponseFormat | None:
    match _string(read, "response_format", CHOICE_CHARS_MAX):
        case None | "url" | "b64_json" as value:
            return value
        case value:
            message = f"'response_format' is {value!r}; it must be 'url' or 'b64_json'."
            raise InvalidValue(message, param="response_format")


def _integer(read: dict[str, Any], name: str, minimum: int, maximum: int, *, default: int) -> int:
    value = read.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidType(
            f"{name!r} must be a whole number from {minimum} to {maximum}, not {_kind(value)}.", param=name
        )
    if not minimum <= value <= maximum:
        shown = f" is {value}; it" if abs(value) < 10**12 else ""
        raise InvalidValue(f"{name!r}{shown} must be from {minimum} to {maximum}.", param=name)
    return value


def _visible(text: str) -> bool:
    return text.isprintable() and text.split() == [text]


def _kind(value: object) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number with a fraction", str: "a string", list: "a list"}
    return kinds.get(type(value), "an object")
