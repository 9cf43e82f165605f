import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.spool import Slice, segments_bytes
from app.upstream.events import ClientEvent, Event, EventConverter, EventReader
from tests.upstream.given import PNG_B64, USAGE, image_request

STREAM = (
    "\ufeffevent: image_generation.partial_image\n"
    ": PING\n"
    'data: {"a":\n'
    "data:1}\n\n"
    "id: 7\nretry: 5\nnonsense\n\n"
    'data: {"b":"猫"}\n\n\n'
    ": PING\n\n"
    "data: [DONE]\n\n"
)
EVENTS = [("image_generation.partial_image", {"a": 1}), ("", {"b": "猫"}), ("", None)]


def told(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.name, event.document) for event in events]


@given(st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 250), max_size=20))
def test_a_stream_cut_anywhere_with_any_line_ends_gives_its_events(line_end: str, cuts: list[int]) -> None:
    raw = STREAM.replace("\n", line_end).encode()

    assert told(read(raw, cuts)) == EVENTS


def read(raw: bytes, cuts: list[int]) -> list[Event]:
    cuts = sorted(min(cut, len(raw)) for cut in cuts)
    reader = EventReader()
    pieces = (raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True))
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


@given(st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 13_000), max_size=20))
def test_a_picture_stays_in_the_stream_and_is_found_there(line_end: str, cuts: list[int]) -> None:
    picture = PNG_B64[:4000] + "A" * 4000
    lines = f': ping\n\ndata: {{"type":\ndata: "image_generation.completed",\ndata:"b64_json": "{picture}"}}\n\n'
    raw = (lines * 2).replace("\n", line_end).encode()
    converter = EventConverter(image_request(stream=True), 1)

    shaped = [shaped for event in read(raw, cuts) if (shaped := converter.convert(event)) is not None]

    frames = [each.frame for each in shaped]
    booked = [item["b64_json"].piece for each in shaped if each.images is not None for item in each.images.items]
    assert booked == [piece for frame in frames for piece in frame if isinstance(piece, Slice)]
    assert [segments_bytes(frame) - len(picture) < 400 for frame in frames] == [True, True]
    for frame in frames:
        [piece] = [piece for piece in frame if isinstance(piece, Slice)]
        assert raw[piece.offset : piece.offset + piece.length].decode() == picture


def test_half_an_event_is_none_until_the_stream_ends_well() -> None:
    reader = EventReader()

    assert reader.feed(b'event: x\ndata: {"a":1}') == []
    assert told(reader.finish()) == [("x", {"a": 1})]


def test_an_event_of_endless_lines_is_unreadable_and_not_held() -> None:
    reader = EventReader()
    tracemalloc.start()
    for _ in range(20):
        assert reader.feed(b"data: 1\n" * 1000 + b": comment\n" * 100) == []
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert told(reader.feed(b"\ndata: 1\n\n")) == [("", None), ("", 1)]
    assert peak_bytes < 1024 * 1024


def shaped(document: Any, name: str = "", **request: Any) -> ClientEvent | None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    raw = f"event: {name}\n".encode() + b"data: " + data + b"\n\n"
    [event] = EventReader().feed(raw)
    shaped = EventConverter(image_request(stream=True, **request), 1_700_000_000).convert(event)
    if shaped is None:
        return None
    pieces = (p if isinstance(p, bytes) else raw[p.offset : p.offset + p.length] for p in shaped.frame)
    return replace(shaped, frame=[b"".join(pieces)])


def parsed(event: ClientEvent | None) -> Any:
    assert event is not None
    frame = b"".join(piece for piece in event.frame if isinstance(piece, bytes))
    head, data = frame.decode().removesuffix("\n\n").split("\n")
    document = json.loads(data.removeprefix("data: "))
    assert head == f"event: {document['type']}"
    return document


def test_a_completed_event_gets_every_field_and_gives_the_facts_to_the_books() -> None:
    sent = {"type": "image_generation.completed", "b64_json": PNG_B64, "usage": USAGE, "quality": "high", "inner": 1}

    event = shaped(sent)

    assert event is not None
    assert event.images is not None
    assert event.images.usage is not None
    assert (event.kind, event.images.quality, event.images.usage.total_tokens) == ("completed", "high", 100)
    assert parsed(event) == {
        "type": "image_generation.completed",
        "b64_json": PNG_B64,
        "created_at": 1_700_000_000,
        "size": "auto",
        "quality": "high",
        "background": "auto",
        "output_format": "png",
        "usage": USAGE,
    }


def test_an_edit_gets_the_names_of_edits_whatever_the_relay_says() -> None:
    sent = {"type": "image_generation.completed", "b64_json": PNG_B64, "created_at": 5}

    assert (parsed(shaped(sent, operation="edit"))["type"], parsed(shaped(sent))["created_at"]) == (
        "image_edit.completed",
        5,
    )


@pytest.mark.parametrize("kind", ["completed", "partial_image"])
def test_a_data_url_in_an_event_becomes_bare_base64(kind: str) -> None:
    event = shaped({"type": f"image_generation.{kind}", "b64_json": f"data:image/png;base64,{PNG_B64}"})

    assert parsed(event)["b64_json"] == PNG_B64


def test_partial_images_are_numbered_where_the_relay_does_not() -> None:
    converter = EventConverter(image_request(stream=True), 1)
    event = Event("image_generation.partial_image", {"b64_json": PNG_B64})

    events = [parsed(converter.convert(event)) for _ in range(2)]

    assert [event["partial_image_index"] for event in events] == [0, 1]
    assert events[0].keys() == {
        "type",
        "b64_json",
        "created_at",
        "size",
        "quality",
        "background",
        "output_format",
        "partial_image_index",
    }


@pytest.mark.parametrize(
    "sent",
    [
        {"error": {"message": "no (request id: 20250425144835174044863D5lbubkO)"}},
        {"type": "error", "message": "no"},
        {"type": "error", "error": {"message": "no"}},
        {"type": "image_generation.partial_image", "error": {"message": "no"}},
        {"error": "no"},
    ],
)
def test_an_error_in_the_stream_leaves_the_outcome_unknown(sent: Any) -> None:
    event = shaped(sent)

    assert event is not None
    assert event.error is not None
    assert (event.kind, event.error.code, event.images) == ("error", "upstream_outcome_unknown", None)
    assert "stream: no. It" in event.error.message


def test_a_completed_event_without_an_image_is_an_error() -> None:
    empty = shaped({"type": "image_generation.completed"})
    broken = shaped({"type": "image_generation.completed", "b64_json": "x" * 4000})

    assert empty is not None and empty.error is not None and empty.error.code == "upstream_outcome_unknown"
    assert broken is not None and broken.error is not None and broken.error.code == "upstream_bad_payload"
    assert broken.images is not None


@pytest.mark.parametrize(
    "data", [b"[DONE]", b"{", b"[]", b'{"type":"ping"}', b'{"type":"image_generation.partial_image","b64_json":"x"}']
)
def test_what_says_nothing_to_a_client_is_dropped(data: bytes) -> None:
    assert shaped(data) is None


def test_the_same_event_gives_the_same_bytes() -> None:
    sent = {"type": "image_generation.completed", "b64_json": PNG_B64, "usage": USAGE}

    assert shaped(sent) == shaped(sent)
