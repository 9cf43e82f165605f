import os
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from app.api.multipart import TEXT_BYTES_MAX, FormReader
from app.errors import GatewayError, InvalidMultipart
from app.spool import Spool

BOUNDARY = b"cut-here"


def part(name: str, data: bytes, *, filename: str | None = None, headers: bytes = b"") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return b"--" + BOUNDARY + b"\r\n" + disposition.encode() + b"\r\n" + headers + b"\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def reader(spool: Spool, boundary: bytes = BOUNDARY) -> FormReader:
    return FormReader(boundary, spool, file_bytes_max=100_000, files_max=16, fields_max=64)


def read(body: bytes, *cuts: int) -> tuple[FormReader, list[bytes]]:
    """The reader and the bytes of each file."""
    spool = Spool(Path(tempfile.gettempdir()), memory_bytes_max=1000)
    try:
        found = reader(spool)
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(body)], strict=True):
            found.feed(body[start:end])
        found.finish()
        return found, [b"".join(spool.chunks(file.piece)) for file in found.files]
    finally:
        spool.close()


# Beginnings of the boundary inside the data are what a reader cut at random gets wrong.
TRICKY = (
    st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"--", b"-", b"\r\n--cut", b"\r\n--cut-her", b"cut-here", b"x", b"\0\xff"]
        ),
        max_size=30,
    )
    .map(b"".join)
    .filter(lambda data: b"\r\n--" + BOUNDARY not in data)
)


@given(first=TRICKY, second=TRICKY, text=st.text(), data=st.data())
def test_however_the_bytes_are_cut_the_form_is_the_same(
    first: bytes, second: bytes, text: str, data: st.DataObject
) -> None:
    body = form(
        part("prompt", text.encode()),
        part("image[]", first, filename="ä.png", headers=b"Content-Type: image/png\r\n"),
        part("image[]", second, filename="upload", headers=b"Content-Type: application/octet-stream\r\n"),
    )
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20))

    found, files = read(body, *cuts)

    assert found.fields == {"prompt": text}
    assert files == [first, second]
    assert [file.digest for file in found.files] == [blake3(each).hexdigest() for each in files]


def test_a_body_fed_byte_by_byte_is_read() -> None:
    body = form(part("prompt", b"a hat"), part("image", os.urandom(500), filename="a"), part("n", b"2"))

    found, files = read(body, *range(1, len(body)))

    assert found.fields == {"prompt": "a hat", "n": "2"}
    assert files == read(body)[1]


def test_repeated_text_keeps_every_value_and_names_keep_their_brackets() -> None:
    found, _ = read(form(part("tags[]", b"a"), part("tags[]", b"b"), part("svg[model]", b"x"), part("tags[]", b"c")))

    assert found.fields == {"tags[]": ["a", "b", "c"], "svg[model]": "x"}


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "image[15]", "mask", "markup"])
def test_every_spelling_of_an_upload_is_a_file_with_and_without_a_file_name(name: str) -> None:
    for filename in (None, "a.png", "x" * 4096, "a%0D%0Ab.png", "../../etc/passwd", 'a%22b\\"c.png'):
        found, files = read(form(part(name, b"data", filename=filename)))

        assert ([file.name for file in found.files], files) == ([name], [b"data"])


BAD: list[tuple[str, bytes, str, str | None]] = [
    ("no parts at all", b"", "invalid_multipart", None),
    ("not multipart", b'{"prompt": "a"}', "invalid_multipart", None),
    ("another boundary", b"--other\r\n\r\n\r\n--other--", "invalid_multipart", None),
    ("no final boundary", part("prompt", b"a"), "invalid_multipart", None),
    ("cut in a part header", part("prompt", b"a") + b"--cut-here\r\nContent-Dis", "invalid_multipart", None),
    ("cut in the final boundary", form(part("prompt", b"a"))[:-4], "invalid_multipart", None),
    ("a header without a colon", b"--cut-here\r\nhello\r\n\r\n", "invalid_multipart", None),
    ("no name", b"--cut-here\r\nContent-Disposition: form-data\r\n\r\na\r\n--cut-here--", "invalid_multipart", None),
    ("no disposition", b"--cut-here\r\nX: y\r\n\r\na\r\n--cut-here--", "invalid_multipart", None),
    (
        "an attachment",
        b'--cut-here\r\nContent-Disposition: attachment; name="a"\r\n\r\na\r\n--cut-here--',
        "invalid_multipart",
        None,
    ),
    (
        "two dispositions",
        form(part("a", b"", headers=b'content-disposition: form-data; name="n"\r\n')),
        "invalid_multipart",
        None,
    ),
    ("2,000 fields", form(*[part(f"f{number}", b"a") for number in range(2000)]), "invalid_multipart", None),
    ("20,000 part headers", form(part("a", b"", headers=b"X-A: b\r\n" * 20_000)), "invalid_multipart", None),
    (
        "20,000 different part headers",
        form(part("a", b"", headers=b"".join(b"X-%d: b\r\n" % number for number in range(20_000)))),
        "invalid_multipart",
        None,
    ),
    (
        "a header of 1 MB",
        form(part("a", b"", headers=b"X-A: " + bytes(1_000_000) + b"\r\n")),
        "invalid_multipart",
        None,
    ),
    ("a header of quotes", form(part("a" + '";"' * 5000, b"")), "invalid_multipart", None),
    ("a raw line break in a file name", form(part("image", b"a", filename="a\r\nb.png")), "invalid_multipart", None),
    ("17 images", form(*[part("image[]", b"a", filename="a")] * 17), "invalid_value", "image"),
    ("two masks", form(*[part("mask", b"a", filename="a")] * 2), "duplicate_key", "mask"),
    ("an unknown file", form(part("picture", b"a", filename="a")), "invalid_multipart", "picture"),
    (
        "utf-16 by its label",
        form(part("prompt", b"a", headers=b"Content-Type: text/plain; charset=utf-16\r\n")),
        "invalid_multipart",
        "prompt",
    ),
    ("utf-16 by its bytes", form(part("prompt", "a".encode("utf-16"))), "invalid_multipart", "prompt"),
    (
        "a name that is not UTF-8",
        b'--cut-here\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n',
        "invalid_multipart",
        None,
    ),
    (
        "base64",
        form(part("image", b"YQ==", headers=b"Content-Transfer-Encoding: base64\r\n")),
        "invalid_multipart",
        "image",
    ),
    ("a long text", form(part("prompt", b"a" * (TEXT_BYTES_MAX + 1))), "string_above_max_length", "prompt"),
    ("much text", form(*[part(f"f{number}", b"a" * 100_000) for number in range(11)]), "body_too_large", None),
    ("a large file", form(part("image[]", b"a" * 100_001, filename="a")), "body_too_large", "image"),
]


@pytest.mark.parametrize(("body", "code", "param"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_form_is_refused_by_its_part(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(GatewayError) as refused:
        read(body, *range(0, len(body), 65_536))

    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.status == (413 if code == "body_too_large" else 400)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("boundary", [b"", b"x" * 71, b"x" * 300])
def test_a_missing_or_endless_boundary_is_refused(tmp_path: Path, boundary: bytes) -> None:
    with pytest.raises(InvalidMultipart):
        reader(Spool(tmp_path), boundary)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_at_all_make_anything_but_a_form_or_a_400(data: bytes, begun: bool) -> None:
    try:
        read(b"--cut-here\r\n" * begun + data)
    except GatewayError as refused:
        assert refused.status == 400
