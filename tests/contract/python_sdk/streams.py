"""Streaming, to the last event. A relay of profile C answers JSON: of that a closing event is made."""

from typing import Any

from tests.contract.python_sdk.bench import FLUX, PNG_MAGIC, SEEDREAM, Bench, check, picture_of, same


@check(profiles="C")
def a_streamed_generation_ends_with_one_completed_event_also_where_the_relay_does_not_stream(bench: Bench) -> None:
    events = list(bench.generate(stream=True, partial_images=2))

    same([event.type for event in events], ["image_generation.completed"])
    _is_whole(events[-1])
    assert events[-1].usage.total_tokens > 0


@check(profiles="N")
def a_streamed_generation_gives_the_partial_images_and_then_the_completed_one(bench: Bench) -> None:
    events = list(bench.generate(stream=True, partial_images=2))

    partial = "image_generation.partial_image"
    same([event.type for event in events], [partial, partial, "image_generation.completed"])
    same([event.partial_image_index for event in events[:2]], [0, 1])
    for event in events:
        _is_whole(event)
    assert events[-1].usage.total_tokens > 0


@check(profiles="C")
def a_streamed_edit_ends_with_one_completed_event_also_where_the_relay_does_not_stream(bench: Bench) -> None:
    events = list(bench.edit(stream=True, partial_images=1))

    same([event.type for event in events], ["image_edit.completed"])
    _is_whole(events[-1])


@check(profiles="N")
def a_streamed_edit_gives_the_partial_images_and_then_the_completed_one(bench: Bench) -> None:
    events = list(bench.edit(stream=True, partial_images=1))

    same([event.type for event in events], ["image_edit.partial_image", "image_edit.completed"])
    for event in events:
        _is_whole(event)
    same(bench.seen_once()["fields"]["stream"], "true")


@check()
def a_streamed_pair_gives_two_completed_events_whose_usage_adds_up(bench: Bench) -> None:
    events = list(bench.generate("tokens=10:0:100", stream=True, n=2))

    same([event.type for event in events], ["image_generation.completed"] * 2)
    assert sum(event.usage.total_tokens for event in events) in (110, 220)  # C tells of the answer, N of each image.


@check()
def a_streamed_edit_of_another_provider_has_the_event_names_of_an_edit(bench: Bench) -> None:
    events = list(bench.edit(model=FLUX, stream=True))

    same([event.type for event in events], ["image_edit.completed"])
    _is_whole(events[-1])


@check()
def a_streamed_address_is_in_the_completed_event(bench: Bench) -> None:
    [event] = list(bench.generate(model=SEEDREAM, stream=True))

    same(event.type, "image_generation.completed")
    assert event.url.startswith("http://")


@check(profiles="N")
def comments_and_a_missing_done_change_nothing(bench: Bench) -> None:
    for fault in ("ping", "no_done"):
        same([event.type for event in bench.generate(f"sse={fault}", stream=True)], ["image_generation.completed"])


@check()
def a_refusal_before_the_first_event_has_its_status(bench: Bench) -> None:
    try:
        list(bench.generate("error=moderation", stream=True))
    except bench.openai.BadRequestError as exc:
        same((exc.code, exc.type), ("moderation_blocked", "image_generation_user_error"))
        same(len(bench.posts), 1)
    else:
        raise AssertionError("no error")


@check(profiles="N")
def a_stream_that_fails_before_its_first_event_has_a_status(bench: Bench) -> None:
    for fault in ("cut", "end", "error"):
        try:
            list(bench.generate(f"sse={fault}", stream=True))
        except bench.openai.APIStatusError as exc:
            same((fault, exc.status_code, exc.code), (fault, 424, _code(fault)))
        else:
            raise AssertionError("no error")
    same(len(bench.posts), 3)


@check(profiles="N")
def a_stream_that_fails_on_its_way_raises_after_the_partial_image_and_is_not_sent_again(bench: Bench) -> None:
    for fault in ("cut", "end", "error"):
        events: list[Any] = []
        try:
            events.extend(bench.generate(f"partials=1 sse={fault}", stream=True, partial_images=1))
            raise AssertionError("no error")
        except bench.openai.APIError as exc:
            same((fault, exc.code), (fault, _code(fault)))
            assert "do not send" in exc.message or "may have charged" in exc.message, exc.message
    same(len(bench.posts), 3)


@check(profiles="N")
def what_came_before_a_failure_has_been_delivered(bench: Bench) -> None:
    stream = iter(bench.generate("partials=1 sse=end", stream=True, partial_images=1))

    same(next(stream).type, "image_generation.partial_image")


@check()
def a_stream_carries_no_cost_and_its_request_id(bench: Bench) -> None:
    with bench.generate(stream=True) as stream:
        headers = stream.response.headers
        same([event.type for event in stream][-1], "image_generation.completed")
    assert headers["x-request-id"].startswith("req_")
    assert "x-imagegate-cost" not in headers
    assert headers["content-type"].startswith("text/event-stream")


def _is_whole(event: Any) -> None:
    """Every field that OpenAI's events must have."""
    assert picture_of(event).startswith(PNG_MAGIC)
    assert type(event.created_at) is int
    for name in ("size", "quality", "background", "output_format"):
        assert isinstance(getattr(event, name), str), name


def _code(fault: str) -> str:
    """Return the code of the error for a stream that fails: the relay's own where it told one."""
    return "server_error" if fault == "error" else "upstream_outcome_unknown"
