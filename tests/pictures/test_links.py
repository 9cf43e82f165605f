"""Links to pictures and thumbnails: what whoever has one gets, and that nobody gets another's."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.gateways import PEPPER
from tests.images.client import LARGE, Client
from tests.pictures.test_api import bought, call
from tests.pictures.test_thumbnails import until_made

PARTS = ("content", "thumbnail")
LATER, PAST = 4_000_000_000, 1_700_000_000
NewClient = Callable[[str], Awaitable[Client]]
IMG = {"Origin": "https://chat.example.com", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
"""What a browser sends for an <img> of another origin."""


def link(id: str, part: str, expires: int = LATER, of: str | None = None) -> str:
    """Sign a link to a part of a picture; `of`: the picture that the signature is of."""
    key = hmac.digest(PEPPER, b"imagegate links to pictures", "sha256")
    signature = hmac.digest(key, f"{of or id}\n{expires}".encode(), "sha256").hex()
    return f"/v1/images/pictures/{id}/{part}?expires={expires}&signature={signature}"


@dataclass(frozen=True, slots=True)
class Case:
    """Call of a link, and its answer: status, and code of the error where it is one. The link is to `id`, signed for `of`; `edit`
    changes it afterwards."""

    name: str
    status: int
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    id: str = "{own}"
    of: str | None = None
    expires: int = LATER
    edit: Callable[[str], str] = str

    def link(self, own: str, other: str, part: str) -> str:
        id, of = self.id.format(own=own, other=other), self.of and self.of.format(own=own)
        return self.edit(link(id, part, self.expires, of))


def bare(link: str) -> str:
    return link.partition("?")[0]


GOOD = [
    Case("as it is", 200),
    Case("in an <img> of another origin", 200, headers=IMG),
    Case("with a stray key", 200, headers={"Authorization": "Bearer sk-of-another-service"}),
    Case("with a stray password", 200, headers={"Authorization": "Basic b3Blbjpzd2hlZXQ="}),
    Case("a part", 206, headers={"Range": "bytes=2-5"}),
    Case("a part of what has changed", 200, headers={"Range": "bytes=2-5", "If-Range": '"other"'}),
]
BAD = [
    Case("beyond its end", 416, "invalid_value", {"Range": "bytes=99999999-"}),
    Case("expired", 410, "result_expired", expires=PAST),
    Case("a longer life", 403, "permission_denied", expires=PAST, edit=lambda link: link.replace("=17", "=97")),
    Case("another signature", 403, "permission_denied", edit=lambda link: link[:-1] + "g"),
    Case("a cut signature", 403, "permission_denied", edit=lambda link: link[:-9]),
    Case("no signature", 403, "permission_denied", edit=lambda link: link.partition("&")[0]),
    Case("nothing", 403, "permission_denied", edit=bare),
    Case("of another picture", 403, "permission_denied", id="{other}", of="{own}"),
    Case("a step to another picture", 403, "permission_denied", id="{own}/../{other}", of="{own}"),
    Case("a picture that is none", 404, "not_found", id=f"req_{'0' * 28}_0"),
    Case("another place in the answer", 404, "not_found", id="{own}9"),
    Case("a path", 404, "unknown_url", id="..%2f..%2fimagegate.db", of="../../imagegate.db"),
    Case("no id", 404, "not_found", id="%27%20OR%201", of="' OR 1"),
    Case("a key that is none", 401, "invalid_api_key", {"Authorization": "Bearer sk-1"}, edit=bare),
]


@pytest.mark.parametrize("part", PARTS)
async def test_a_link_gives_the_picture_and_a_wrong_one_nothing(new_client: NewClient, part: str) -> None:
    lin, bo = await new_client("lin"), await new_client("bo")
    [own], [other] = await bought(lin), await bought(bo, "a secret")
    bytes = (await until_made(lin, f"/{own}/{part}")).content
    wrong = {}

    for case in (*GOOD, *BAD):
        answer = await lin.http.get(case.link(own, other, part), headers=case.headers)
        code = None if case.status < 300 else answer.json()["error"]["code"]
        if (answer.status_code, code) != (case.status, case.code) or not fits(case, answer, bytes):
            wrong[case.name] = (answer.status_code, code, dict(answer.headers))

    assert wrong == {}


def fits(case: Case, answer: httpx2.Response, bytes: bytes) -> bool:
    """Whether bytes and headers are those of the case."""
    headers = answer.headers
    if "access-control-allow-credentials" in headers or "set-cookie" in headers:
        return False
    if case.status >= 300:
        return headers.get("access-control-allow-origin") == "*" or case.code == "unknown_url"
    expected = {
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "x-content-type-options": "nosniff",
        "accept-ranges": "bytes",
    }
    content = bytes[2:6] if case.status == 206 else bytes
    return answer.content == content and expected.items() <= headers.items()


@pytest.mark.parametrize("part", PARTS)
async def test_a_head_and_a_known_etag_have_the_headers_and_no_bytes(client: Client, part: str) -> None:
    [id] = await bought(client)
    whole = await until_made(client, link(id, part))

    head = await client.http.head(link(id, part), headers=IMG)
    known = await client.http.get(link(id, part), headers={"If-None-Match": whole.headers["etag"]})

    assert (head.status_code, head.content, known.status_code, known.content) == (200, b"", 304, b"")
    for name in (
        "content-type",
        "content-length",
        "etag",
        "access-control-allow-origin",
        "cross-origin-resource-policy",
    ):
        assert head.headers[name] == whole.headers[name], name
    assert (known.headers["etag"], known.headers["access-control-allow-origin"]) == (whole.headers["etag"], "*")


async def test_another_key_reads_nothing_but_what_a_link_gives(new_client: NewClient) -> None:
    lin, bo = await new_client("lin"), await new_client("bo")
    [id] = await bought(lin)

    for part in PARTS:
        assert (await call(bo, "GET", f"/{id}/{part}")).status_code == 404
        linked = await until_made(lin, link(id, part))
        theirs = await lin.http.get(link(id, part), headers={"Authorization": f"Bearer {bo.key.key}"})
        assert theirs.content == linked.content


async def test_of_a_deleted_picture_neither_links_nor_answers_are_left(client: Client) -> None:
    answer = await client.ask(LARGE | {"response_format": "url"}, key="one")
    request_id, url = answer.headers["x-request-id"], answer.json()["data"][0]["url"]
    await client.gateway.gateway.taking.take_all()
    await until_made(client, link(f"{request_id}_0", "thumbnail"))

    await call(client, "DELETE", f"/{request_id}_0")

    for gone in (f"{urlsplit(url).path}?{urlsplit(url).query}", *(link(f"{request_id}_0", part) for part in PARTS)):
        assert (await client.http.get(gone)).status_code == 404
        assert (await client.http.head(gone)).status_code == 404
    replay, result = (
        await client.ask(LARGE | {"response_format": "url"}, key="one"),
        await client.get(f"/v1/images/requests/{request_id}/result"),
    )
    assert [(each.status_code, each.json()["error"]["code"]) for each in (replay, result)] == [
        (410, "result_expired")
    ] * 2
    assert client.charges == 1
