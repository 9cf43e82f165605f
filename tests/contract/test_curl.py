"""curl, as the README shows it and as people vary it."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.stage import Stage

LARGE_BYTES = 2_000_000
TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl here: what it sends is NOT tested")


@dataclass(frozen=True, slots=True)
class Said:
    """`uploaded_bytes` of the body left curl; `trace` is what `--verbose` writes."""

    status: int
    body: dict[str, Any]
    uploaded_bytes: int
    trace: str


@dataclass(frozen=True, slots=True)
class Curl:
    """curl with a key of its own, and `mark` to find what the relay got."""

    stage: Stage
    profile: str
    key: str
    mark: str
    folder: Path

    async def __call__(self, path: str, *options: str, key: str = "") -> Said:
        process = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--verbose", "--write-out", "\n%{http_code} %{size_upload}"),
            *("--header", f"Authorization: Bearer {key or self.key}"),
            *(self.stage.gateways[self.profile].url + path, *options),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate()
        body, _, numbers = out.decode().rpartition("\n")
        status, uploaded_bytes = numbers.split()
        return Said(int(status), json.loads(body), int(uploaded_bytes), err.decode(errors="replace"))

    def file(self, name: str, content: bytes) -> str:
        """Quote a file for `--form`."""
        (self.folder / name).write_bytes(content)
        return '@"' + name.replace('"', '\\"') + '"'

    def files_seen(self) -> list[tuple[str, str, str]]:
        [seen] = self.stage.seen(self.profile, self.mark)
        return [(file.field, file.filename, file.sha256) for file in seen.files]


@pytest.fixture(params=["C", "N"])
async def curl(stage: Stage, request: pytest.FixtureRequest, tmp_path: Path) -> Curl:
    profile: str = request.param
    key = await stage.gateways[profile].key("curl")
    return Curl(stage, profile, key.key, f"mark {uuid4()}", tmp_path)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_a_generation_works_with_and_without_v1(curl: Curl, prefix: str) -> None:
    wanted = json.dumps({"model": "gpt-image-1", "prompt": curl.mark})

    said = await curl(f"{prefix}/images/generations", "--json", wanted)

    assert said.status == 200, said.body
    assert said.body["data"][0]["b64_json"]


@pytest.mark.parametrize(
    "names",
    [("image", "image"), ("image[]", "image[]"), ("image[0]", "image[1]")],
    ids=["repeated", "brackets", "numbered"],
)
async def test_two_pictures_arrive_in_every_spelling(curl: Curl, names: tuple[str, str]) -> None:
    pictures = curl.stage.pictures
    first, second = curl.file("b.png", pictures["png"]), curl.file("a.jpg", pictures["jpeg"])

    said = await curl(
        "/v1/images/edits",
        *("--form", f"prompt={curl.mark}", "--form", "model=gpt-image-1"),
        *("--form", f"{names[0]}={first}", "--form", f"{names[1]}={second}"),
    )

    assert said.status == 200, said.body
    assert curl.files_seen() == [
        ("image[]", "image-0.png", sha256(pictures["png"])),
        ("image[]", "image-1.jpg", sha256(pictures["jpeg"])),
    ]


@pytest.mark.parametrize(
    "name",
    ["小猫.png", 'a "quoted" cat.png', "..%2f..%2fcat.png", "猫" * 60 + ".png", "no extension"],
    ids=["chinese", "quotes", "path", "long", "bare"],
)
async def test_the_name_of_a_file_is_never_passed_on(curl: Curl, name: str) -> None:
    picture = curl.stage.pictures["webp"]

    said = await curl("/images/edits", "--form", f"prompt={curl.mark}", "--form", f"image={curl.file(name, picture)}")

    assert said.status == 200, said.body
    assert curl.files_seen() == [("image", "image-0.webp", sha256(picture))]


@pytest.mark.parametrize("chunked", [False, True], ids=["with-its-length", "chunked"])
async def test_a_large_upload_that_waits_for_100_continue_is_told_to_go_on(curl: Curl, chunked: bool) -> None:
    large = curl.stage.pictures["png"] + bytes(LARGE_BYTES)
    coding = ("--header", "Transfer-Encoding: chunked") if chunked else ()

    said = await curl(
        "/v1/images/edits",
        *("--form", f"prompt={curl.mark}", "--form", f"image={curl.file('large.png', large)}"),
        *("--header", "Expect: 100-continue", *coding),
    )

    assert said.status == 200, said.body
    assert "< HTTP/1.1 100 Continue" in said.trace
    assert curl.files_seen() == [("image", "image-0.png", sha256(large))]


async def test_a_large_upload_with_a_wrong_key_is_refused_before_it_is_sent(curl: Curl) -> None:
    large = curl.file("large.png", curl.stage.pictures["png"] + bytes(LARGE_BYTES))

    said = await curl(
        "/v1/images/edits",
        *("--form", f"prompt={curl.mark}", "--form", f"image={large}", "--header", "Expect: 100-continue"),
        key="sk-wrong",
    )

    assert (said.status, said.body["error"]["code"]) == (401, "invalid_api_key")
    assert "< HTTP/1.1 100 Continue" not in said.trace
    assert said.uploaded_bytes == 0


async def test_a_large_upload_with_a_wrong_key_is_answered_also_without_waiting_for_100(curl: Curl) -> None:
    large = curl.file("large.png", curl.stage.pictures["png"] + bytes(LARGE_BYTES))

    said = await curl(
        "/v1/images/edits",
        *("--form", f"prompt={curl.mark}", "--form", f"image={large}", "--header", "Expect:"),
        key="sk-wrong",
    )

    assert (said.status, said.body["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("path", "options", "code", "param"),
    [
        ("generations", ("--json", '{"prompt": "a cat",}'), "invalid_json", None),
        ("generations", ("--json", '{"n": 1, "prompt": "a cat", "n": 9}'), "duplicate_key", "n"),
        ("generations", ("--json", '["a cat"]'), "invalid_type", None),
        ("edits", ("--form", "prompt=a cat"), "missing_required_parameter", "image"),
        (
            "edits",
            ("--header", "Content-Type: multipart/form-data; boundary=x", "--data-binary", "--x\r\n\r\n"),
            "invalid_multipart",
            None,
        ),
    ],
    ids=["comma", "twice", "list", "no-image", "no-form"],
)
async def test_what_no_sdk_sends_is_explained(
    curl: Curl, path: str, options: tuple[str, ...], code: str, param: str | None
) -> None:
    said = await curl(f"/v1/images/{path}", *options)

    assert said.status == 400, said.body
    error = said.body["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", param)
