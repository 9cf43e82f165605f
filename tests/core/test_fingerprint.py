"""Digests that tell whether a request asks for the same pictures as another."""

from dataclasses import replace
from typing import Any

import pytest

from app.core import parameters
from app.core.fingerprint import duplicate_digest
from app.core.request import ImageRequest, Upload
from app.spool import Slice

PEPPER = b"p" * 32
BASE = {"model": "gpt-image-1", "prompt": "a cat", "n": 2, "size": "1024x1024", "seed": 7}


def digest(request: ImageRequest, user: str = "user-1", project: str = "proj-1", pepper: bytes = PEPPER) -> bytes:
    return duplicate_digest(pepper, user, project, request)


def asked(**fields: Any) -> ImageRequest:
    return parameters.generation(BASE | fields)


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(list(BASE.items()))),
        {"response_format": "url"},
        {"seed": "7"},
        {"style": None},
        {"size": "1024X1024"},
        {"stream": False, "partial_images": 0},
    ],
)
def test_what_asks_for_the_same_has_the_same_digest(same: dict[str, Any]) -> None:
    assert digest(asked(**same)) == digest(asked())


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a cat "},
        {"n": 1},
        {"size": "1536x1024"},
        {"seed": 8},
        {"seed": None},
        {"quality": "high"},
        {"user": "mia"},
        {"stream": True},
        {"background": "transparent"},
        {"extra": {"deep": [1, 2]}},
        {"model": "seedream-3.0"},
    ],
)
def test_what_asks_for_something_else_has_another_digest(other: dict[str, Any]) -> None:
    assert digest(asked(**other)) != digest(asked())


def test_the_files_the_operation_the_owner_and_the_secret_count() -> None:
    one, two = (Upload("image", Slice(0, 1), "image/png", 1, 1, name * 64) for name in "ab")
    base = replace(asked(), operation="edit", uploads=(one, two))

    digests = [
        digest(base),
        digest(replace(base, uploads=(two, one))),
        digest(replace(base, uploads=(one,))),
        digest(replace(base, uploads=(one, replace(two, field="mask")))),
        digest(replace(base, operation="variation")),
        digest(base, user="user-2"),
        digest(base, project="proj-2"),
        digest(base, pepper=b"q" * 32),
    ]

    assert digest(replace(base, uploads=(one, replace(two, piece=Slice(5, 1))))) == digests[0]
    assert len(set(digests)) == len(digests)
    assert {len(each) for each in digests} == {16}
