"""Short ways to ask the sandbox for pictures."""

import base64
import io
from dataclasses import dataclass

import httpx2
from PIL import Image

KEY = "sk-" + "k" * 48
PICTURE = b"\x89PNG\r\n\x1a\n not looked at by the relay"


@dataclass(frozen=True, slots=True)
class Caller:
    client: httpx2.AsyncClient

    async def generate(
        self, prompt: str = "a red fox", model: str = "gpt-image-1", **fields: object
    ) -> httpx2.Response:
        document = {"model": model, "prompt": prompt, **fields}
        return await self.client.post("/v1/images/generations", json=document)

    async def hinted(self, hint: str, **fields: object) -> httpx2.Response:
        return await self.generate(f"a red fox [[sandbox {hint}]]", **fields)  # type: ignore[arg-type]

    async def edit(self, *names: str, **fields: str) -> httpx2.Response:
        files = [(name, ("cat.png", PICTURE, "image/png")) for name in names]
        return await self.client.post("/v1/images/edits", data={"prompt": "a hat", **fields}, files=files)


def opened(b64: str) -> Image.Image:
    """The picture behind a b64_json."""
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def error_of(answer: httpx2.Response) -> dict[str, str]:
    """The error object of an answer."""
    error: dict[str, str] = answer.json()["error"]
    return error


def events_of(text: str) -> list[str]:
    """The names of the events in a stream, in order."""
    return [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
