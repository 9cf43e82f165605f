"""Checks of an image request, in the order of the relay and of the provider behind it."""

from dataclasses import dataclass

from .body import RequestBody
from .catalog import MODELS, SandboxModel
from .errors import ERRORS, SandboxError, provider
from .hints import BadHint, Script, read_hints
from .records import Operation, Profile

N_MAX = 128
GPT_N_MAX = 10
GPT_PROMPT_CHARACTERS_MAX = 32_000
TEXTS = ("prompt", "size", "quality", "response_format", "output_format", "background", "model")

# Profile C keeps these fields of a JSON generation and silently drops the others.
KEPT_BY_C = frozenset(
    [
        "model",
        "prompt",
        "n",
        "size",
        "quality",
        "response_format",
        "style",
        "user",
        "background",
        "moderation",
        "output_format",
        "extra_fields",
    ]
)
KEPT_BY_N = KEPT_BY_C | frozenset(
    [
        "output_compression",
        "partial_images",
        "stream",
        "images",
        "image",
        "mask",
        "input_fidelity",
        "watermark",
        "watermark_enabled",
        "user_id",
    ]
)
# The provider of gpt-image-1 answers 400 to any other field.
GPT_FIELDS = frozenset(
    [
        "model",
        "prompt",
        "n",
        "size",
        "quality",
        "user",
        "background",
        "moderation",
        "output_format",
        "output_compression",
        "partial_images",
        "stream",
        "images",
        "image",
        "mask",
        "input_fidelity",
    ]
)
GPT_CHOICES = {
    "size": ("1024x1024", "1536x1024", "1024x1536", "auto"),
    "quality": ("low", "medium", "high", "auto"),
    "background": ("transparent", "opaque", "auto"),
    "output_format": ("png", "jpeg", "webp"),
    "moderation": ("low", "auto"),
}


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """Accepted image request. `prompt` is without hints; absent texts are empty."""

    operation: Operation
    model: SandboxModel
    prompt: str
    script: Script
    n: int
    size: str
    quality: str
    response_format: str
    output_format: str
    background: str
    stream: bool
    partial_images: int
    image_count: int


def read_script(body: RequestBody) -> tuple[str, Script]:
    """Split the prompt from its hints. Raises SandboxError for an unreadable hint."""
    prompt = body.fields.get("prompt")
    try:
        return read_hints(prompt) if isinstance(prompt, str) else ("", Script())
    except BadHint as exc:
        raise SandboxError(provider(400, str(exc), "sandbox_hint", param="prompt")) from exc


def read_order(operation: Operation, body: RequestBody, profile: Profile) -> ImageOrder:
    """Check an image request as the relay does before it charges. Raises SandboxError."""
    prompt, script = read_script(body)
    model = _route(operation, body, profile)
    _check_shape(operation, body, profile)
    fields = _kept(body, profile)
    n = _count(body, profile)
    _check_operation(operation, model, body)
    if n > N_MAX:
        raise SandboxError(provider(400, f"Invalid 'n': {n} is too many.", "invalid_value", param="n"))
    if model.family == "gpt":
        _check_gpt(fields, n)
    text = {name: str(fields.get(name, "")) for name in TEXTS}
    return ImageOrder(
        operation,
        model,
        prompt,
        script,
        n,
        text["size"],
        text["quality"],
        text["response_format"],
        text["output_format"],
        text["background"],
        stream=profile == "N" and _truth(fields.get("stream")),
        partial_images=_number(fields.get("partial_images")),
        image_count=_image_count(body),
    )


def _route(operation: Operation, body: RequestBody, profile: Profile) -> SandboxModel:
    """Parse the fields that routing needs, then look for a channel of the model."""
    if not body.multipart and not body.readable and not (operation == "edit" and profile == "C"):
        raise SandboxError(ERRORS["bad_json"][profile])
    name = body.fields.get("model", "")
    if operation == "variation" and body.multipart:
        name = ""  # Routing never reads the form here.
    if not isinstance(name, str):
        raise SandboxError(ERRORS["bad_json"][profile])
    name = name or _default_model(operation, body, profile)
    if name not in MODELS:
        raise SandboxError(ERRORS["no_channel"][profile], model=name)
    return MODELS[name]


def _default_model(operation: Operation, body: RequestBody, profile: Profile) -> str:
    if operation == "generation":
        return "dall-e"
    if profile == "N" and body.multipart:
        raise SandboxError(ERRORS["no_model"][profile])
    return "gpt-image-1" if operation == "edit" else ""


def _check_shape(operation: Operation, body: RequestBody, profile: Profile) -> None:
    """Check the fields that the relay's handler checks after routing."""
    if operation == "variation":
        raise SandboxError(ERRORS["not_implemented"][profile])
    if operation == "edit" and profile == "C" and not (body.multipart and body.readable):
        raise SandboxError(ERRORS["not_multipart"][profile])
    if not body.multipart and any(not isinstance(body.fields.get(name, ""), str) for name in TEXTS):
        raise SandboxError(ERRORS["bad_field"][profile])
    if profile == "C" and not body.fields.get("prompt"):
        raise SandboxError(ERRORS["prompt_missing"][profile])
    if "×" in str(body.fields.get("size", "")):
        raise SandboxError(ERRORS["bad_size"][profile])


def _kept(body: RequestBody, profile: Profile) -> dict[str, object]:
    """Select the fields that reach the provider; empty form texts count as absent."""
    if body.multipart:
        return {name: value for name, value in body.fields.items() if value != ""}
    kept = KEPT_BY_C if profile == "C" else KEPT_BY_N
    return {name: value for name, value in body.fields.items() if name in kept}


def _count(body: RequestBody, profile: Profile) -> int:
    value = body.fields.get("n", 0)
    if body.multipart:
        text = str(value).strip()
        if profile == "C":
            return max(int(text), 1) if text.isdecimal() else 1
        value = int(text) if text.isdecimal() else -1 if text else 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise SandboxError(ERRORS["bad_field"][profile])
    if profile == "N" and not 0 <= value <= N_MAX:
        raise SandboxError(ERRORS["n_range"][profile])
    return max(value, 1)


def _check_operation(operation: Operation, model: SandboxModel, body: RequestBody) -> None:
    if operation == "edit" and not _image_count(body):
        raise SandboxError(ERRORS["convert"]["C"])
    if operation not in model.operations:
        raise SandboxError(ERRORS["edit_unsupported"]["C"])


def _image_count(body: RequestBody) -> int:
    """Count the pictures to edit; the first spelling of the field that exists wins."""
    for spelling in ("image", "image[]"):
        if found := sum(file.field == spelling for file in body.files):
            return found
    if found := sum(file.field.startswith("image[") for file in body.files):
        return found
    images = body.fields.get("images", body.fields.get("image", []))
    if body.multipart or not images:
        return 0
    return len(images) if isinstance(images, list) else 1


def _check_gpt(fields: dict[str, object], n: int) -> None:
    """Check the request as the provider of gpt-image-1 does."""
    for name in fields:
        if name not in GPT_FIELDS:
            raise SandboxError(provider(400, f"Unknown parameter: '{name}'.", "unknown_parameter", param=name))
    prompt = str(fields.get("prompt", ""))
    if not prompt:
        raise SandboxError(
            provider(400, "Missing required parameter: 'prompt'.", "missing_required_parameter", param="prompt")
        )
    if len(prompt) > GPT_PROMPT_CHARACTERS_MAX:
        raise SandboxError(
            provider(400, "Invalid 'prompt': string too long.", "string_above_max_length", param="prompt")
        )
    if n > GPT_N_MAX:
        message = f"Invalid 'n': integer above maximum value. Expected a value <= {GPT_N_MAX}, but got {n} instead."
        raise SandboxError(provider(400, message, "integer_above_max_value", param="n"))
    _check_gpt_choices(fields)


def _check_gpt_choices(fields: dict[str, object]) -> None:
    for name, choices in GPT_CHOICES.items():
        value = fields.get(name, choices[-1])
        if value not in choices:
            supported = ", ".join(f"'{choice}'" for choice in choices)
            message = f"Invalid value: '{value}'. Supported values are: {supported}."
            raise SandboxError(provider(400, message, "invalid_value", param=name))


def _truth(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _number(value: object) -> int:
    return min(int(str(value)), 3) if str(value).isdecimal() else 0
