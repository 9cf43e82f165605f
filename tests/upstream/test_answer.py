import json
from typing import Any

from app.upstream.answer import completed_events, images_response
from app.upstream.images import Images, read_images
from tests.upstream.given import PNG_B64, USAGE, image_request, skeleton_of_bytes, spliced


def answered(document: dict[str, Any], n: int = 1) -> tuple[Images, bytes]:
    raw = json.dumps(document).encode()
    images = read_images(skeleton_of_bytes(raw), n)
    assert isinstance(images, Images)
    return images, raw


def response(document: dict[str, Any]) -> Any:
    images, raw = answered(document)
    return json.loads(spliced(images_response(images, created_s=1_700_000_000), raw))


def events(document: dict[str, Any], **request: Any) -> list[tuple[str, Any]]:
    wanted = image_request(**request)
    images, raw = answered(document)
    frames = [spliced(frame, raw) for frame in completed_events(images, wanted.operation, 1_700_000_000, wanted)]
    parts = [frame.decode().removesuffix("\n\n").split("\ndata: ") for frame in frames]
    return [(name.removeprefix("event: "), json.loads(data)) for name, data in parts]


def test_a_whole_answer_keeps_what_openai_has() -> None:
    usage = USAGE | {"output_tokens_details": {"text_tokens": 0, "image_tokens": 50}}
    document = {
        "created": 1_600_000_000,
        "data": [{"b64_json": PNG_B64, "revised_prompt": '猫 \\ " cat'}],
        "background": "opaque",
        "output_format": "png",
        "size": "1024x1024",
        "quality": "high",
        "usage": usage,
    }

    assert response(document | {"model": "m", "channel": 7}) == document


def test_a_poor_answer_is_completed_and_cleaned() -> None:
    document = {
        "data": [{"b64_json": PNG_B64, "url": "", "revised_prompt": ""}],
        "quality": "auto",
        "background": "auto",
    }

    assert response(document) == {"created": 1_700_000_000, "data": [{"b64_json": PNG_B64}]}


def test_half_a_usage_is_left_out() -> None:
    usage = {"total_tokens": 100, "input_tokens": 50, "output_tokens": 50}

    assert "usage" not in response({"data": [{"url": "u"}], "usage": usage})


def test_the_same_answer_gives_the_same_bytes() -> None:
    images, _ = answered({"data": [{"b64_json": PNG_B64}], "usage": USAGE})

    assert images_response(images, created_s=1) == images_response(images, created_s=1)


def test_each_image_becomes_a_completed_event_with_every_required_field() -> None:
    sent = events({"created": 9, "data": [{"b64_json": PNG_B64}], "size": "1024x1024", "usage": USAGE})

    assert sent == [
        (
            "image_generation.completed",
            {
                "type": "image_generation.completed",
                "b64_json": PNG_B64,
                "created_at": 9,
                "size": "1024x1024",
                "quality": "auto",
                "background": "auto",
                "output_format": "png",
                "usage": USAGE,
            },
        )
    ]


def test_what_was_asked_stands_in_for_what_was_not_told() -> None:
    [(name, event)] = events(
        {"data": [{"url": "u"}]}, operation="edit", fields={"size": "1536x1024", "output_format": "webp"}
    )

    assert name == event["type"] == "image_edit.completed"
    assert (event["size"], event["output_format"], event["created_at"], event["url"]) == (
        "1536x1024",
        "webp",
        1_700_000_000,
        "u",
    )


def test_the_usage_of_several_events_adds_up_to_the_truth() -> None:
    sent = events({"data": [{"b64_json": PNG_B64}] * 3, "usage": USAGE})

    assert [event["usage"]["total_tokens"] for _, event in sent] == [0, 0, 100]
    assert {tuple(sorted(event["usage"])) for _, event in sent} == {tuple(sorted(USAGE))}
