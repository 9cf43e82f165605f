"""Clients that are not OpenAI's: each sends what it is known to send, and reads what it is known to read.

Where the facts come from: the sources of these clients, and requests captured from them, in November 2026.
"""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from app.sandbox import SeenRequest
from tests.contract.stage import Stage

FLUX, GPT, SEEDREAM = "flux-kontext-pro", "gpt-image-1", "seedream-3.0"


@dataclass(frozen=True, slots=True)
class Client:
    """A plain HTTP client with a key of its own, and `mark` to find what the relay got. Its base URL ends in `/v1`."""

    http: httpx2.AsyncClient
    stage: Stage
    profile: str
    mark: str

    async def generate(self, **fields: Any) -> httpx2.Response:
        return await self.http.post("/images/generations", json={"prompt": self.mark, **fields})

    async def edit(self, *files: tuple[str, Any], **fields: str) -> httpx2.Response:
        return await self.http.post("/images/edits", data={"prompt": self.mark, **fields}, files=list(files))

    def seen(self) -> list[SeenRequest]:
        return self.stage.seen(self.profile, self.mark)

    def seen_once(self) -> SeenRequest:
        [seen] = self.seen()
        return seen

    def files_seen(self) -> list[tuple[str, str, str]]:
        return [(file.field, file.filename, file.sha256) for file in self.seen_once().files]

    def sha256(self, kind: str) -> str:
        return hashlib.sha256(self.stage.pictures[kind]).hexdigest()

    def data_url(self, kind: str, label: str) -> str:
        return f"data:{label};base64,{base64.b64encode(self.stage.pictures[kind]).decode()}"


@pytest.fixture(params=["C", "N"])
async def client(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    profile: str = request.param
    key = await stage.gateways[profile].key("others")
    headers = {"Authorization": f"Bearer {key.key}"}
    url = f"{stage.gateways[profile].url}/v1"
    async with httpx2.AsyncClient(base_url=url, headers=headers, verify=False, timeout=60) as http:
        yield Client(http, stage, profile, f"mark {uuid4()}")


def item_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["data"]
    found: dict[str, Any] = item
    return found


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["x-should-retry"] == "false"
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_go_openai_always_writes_n_size_and_response_format_even_unset(client: Client) -> None:
    picture = ("image", ("cat.png", client.stage.pictures["png"], "application/octet-stream"))

    answer = await client.edit(picture, model=GPT, n="0", size="", response_format="", quality="")

    assert item_of(answer)["b64_json"]
    assert client.seen_once().fields == {"model": GPT, "prompt": client.mark}


async def test_langchain_reads_the_url_of_a_model_that_gives_one(client: Client) -> None:
    answer = await client.generate(model=SEEDREAM, n=2, size="1024x1024")

    joined = "\n".join(item["url"] for item in answer.json()["data"])
    assert joined.count("http://") == 2


async def test_vercel_and_open_webui_ask_for_base64_and_get_nothing_else(client: Client) -> None:
    answer = await client.generate(model=FLUX, n=1, size="1024x1024", response_format="b64_json")

    assert set(item_of(answer)) == {"b64_json"}


async def test_vercel_calls_the_file_of_an_edit_blob(client: Client) -> None:
    picture = ("image", ("blob", client.stage.pictures["webp"], "image/webp"))

    answer = await client.edit(picture, model=FLUX, n="1", response_format="b64_json")

    assert item_of(answer)["b64_json"]
    assert client.files_seen() == [("image", "image-0.webp", client.sha256("webp"))]


async def test_cherry_studio_repeats_image_without_brackets(client: Client) -> None:
    names = ("b.png", "a.jpg")
    kinds = ("png", "jpeg")
    files = [("image", (name, client.stage.pictures[kind])) for name, kind in zip(names, kinds, strict=True)]

    item_of(await client.edit(*files, model=GPT))

    assert [sha256 for _, _, sha256 in client.files_seen()] == [client.sha256("png"), client.sha256("jpeg")]


async def test_lobe_adds_input_fidelity_to_every_edit(client: Client) -> None:
    answer = await client.edit(("image[]", ("a", client.stage.pictures["png"])), model=GPT, input_fidelity="high")

    assert item_of(answer)["b64_json"]
    assert client.seen_once().fields["input_fidelity"] == "high"


@pytest.mark.parametrize("path", ["/models", "/models/gpt-image-1"])
async def test_the_models_are_there_without_v1_too(client: Client, path: str) -> None:
    with_v1, without = (
        await client.http.get(path),
        await client.http.get(f"{client.stage.gateways[client.profile].url}{path}"),
    )

    assert with_v1.status_code == 200
    assert with_v1.json() == without.json()


async def test_v1_twice_is_told_to_check_the_base_url(client: Client) -> None:
    error = error_of(await client.http.post("/v1/images/generations", json={"prompt": client.mark}))

    assert error["code"] == "unknown_url"
    assert "base URL" in error["message"]


# --- edits as JSON --------------------------------------------------------------------------------------------------


async def test_a_json_edit_reaches_the_relay_as_a_form_with_its_files(client: Client) -> None:
    wanted = {
        "model": GPT,
        "prompt": client.mark,
        "images": [
            {"image_url": client.data_url("png", "image/png")},
            {"image_url": client.data_url("jpeg", "image/jpeg")},
        ],
        "mask": {"image_url": client.data_url("mask", "image/png")},
        "n": 1,
        "size": "1024x1536",
    }

    answer = await client.http.post("/images/edits", json=wanted)

    assert item_of(answer)["b64_json"]
    seen = client.seen_once()
    assert seen.headers["content-type"].startswith("multipart/form-data")
    assert seen.fields == {"model": GPT, "prompt": client.mark, "n": "1", "size": "1024x1536"}
    assert client.files_seen() == [
        ("image[]", "image-0.png", client.sha256("png")),
        ("image[]", "image-1.jpg", client.sha256("jpeg")),
        ("mask", "mask.png", client.sha256("mask")),
    ]


async def test_a_json_edit_streams_to_its_completed_event(client: Client) -> None:
    images = [{"image_url": client.data_url("webp", "image/webp")}]

    answer = await client.http.post("/images/edits", json={"prompt": client.mark, "images": images, "stream": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in answer.text.splitlines() if line.startswith("event:")] == ["event: image_edit.completed"]


@pytest.mark.parametrize(
    ("images", "code", "param"),
    [
        ([{"image_url": "https://example.com/cat.png"}], "invalid_value", "images[0].image_url"),
        ([{"image_url": "http://169.254.169.254/latest"}], "invalid_value", "images[0].image_url"),
        ([{"file_id": "file-abc123"}], "invalid_value", "images[0].file_id"),
        ([{"image_url": "data:image/png;base64,AAAA"}], "invalid_image_type", "image"),
        ([{"image_url": "data:image/png;base64,%%%"}], "invalid_value", "images"),
        ([], "missing_required_parameter", "images"),
        ("a cat", "invalid_type", "images"),
    ],
    ids=["address", "inner-address", "file-id", "no-picture", "no-base64", "none", "no-list"],
)
async def test_a_json_edit_without_usable_pictures_is_a_clear_400(
    client: Client, images: Any, code: str, param: str
) -> None:
    answer = await client.http.post("/images/edits", json={"prompt": client.mark, "images": images})

    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", param)
    assert client.seen() == []


# --- headers --------------------------------------------------------------------------------------------------------


async def test_the_scheme_of_the_key_may_be_written_small(client: Client) -> None:
    small = client.http.headers["authorization"].replace("Bearer", "bearer")

    answer = await client.http.post(
        "/images/generations", json={"prompt": client.mark}, headers={"Authorization": small}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "*/*", "image/png"])
async def test_the_body_and_not_accept_decides_whether_it_streams(client: Client, accept: str) -> None:
    answer = await client.http.post("/images/generations", json={"prompt": client.mark}, headers={"Accept": accept})

    assert answer.headers["content-type"] == "application/json"


async def test_a_request_id_of_the_client_is_not_taken_for_ours(client: Client) -> None:
    answer = await client.http.post(
        "/images/generations", json={"prompt": client.mark}, headers={"X-Request-Id": "req_theirs"}
    )

    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] != "req_theirs"
    assert "req_theirs" not in client.seen_once().headers.values()
