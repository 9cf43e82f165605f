"""A client that validates every answer against OpenAI's own types."""

from typing import Any

from tests.contract.python_sdk.bench import FLUX, GPT, SEEDREAM, Bench, check, same


@check(since=3)
def every_answer_is_valid_for_a_strict_client(bench: Bench) -> None:
    for model in (GPT, SEEDREAM, FLUX):
        answer = _strict(bench).images.generate(model=model, prompt=bench.prompt())
        assert type(answer.created) is int, model


@check(since=3)
def every_edit_is_valid_for_a_strict_client(bench: Bench) -> None:
    for model in (GPT, FLUX):
        answer = _strict(bench).images.edit(model=model, prompt=bench.prompt(), image=bench.pictures["png"])
        assert type(answer.created) is int, model


@check(since=3)
def a_bent_answer_of_the_relay_is_mended_for_a_strict_client(bench: Bench) -> None:
    for body in ("no_created", "no_usage", "half_usage", "empty_strings", "url", "both", "many"):
        answer = _strict(bench).images.generate(prompt=bench.prompt(f"body={body}"))
        assert answer.created > 0, body
        same((body, answer.usage is None), (body, body in ("no_usage", "half_usage")))


@check(since=3)
def a_wish_for_auto_is_not_told_as_an_answer(bench: Bench) -> None:
    answer = _strict(bench).images.generate(prompt=bench.prompt(), size="auto", quality="auto", background="auto")

    assert answer.background in (None, "opaque", "transparent")
    assert answer.quality != "auto"


@check(since=3)
def every_event_is_valid_for_a_strict_client(bench: Bench) -> None:
    for model in (GPT, FLUX):
        generated = _strict(bench).images.generate(
            model=model, prompt=bench.prompt(), stream=True, partial_images=1, n=2
        )
        same([event.type for event in generated][-1], "image_generation.completed")
        edited = _strict(bench).images.edit(
            model=model, prompt=bench.prompt(), image=bench.pictures["png"], stream=True
        )
        same([event.type for event in edited][-1], "image_edit.completed")


@check(since=3)
def the_models_are_valid_for_a_strict_client(bench: Bench) -> None:
    assert [_strict(bench).models.retrieve(model.id) for model in _strict(bench).models.list()]


def _strict(bench: Bench) -> Any:
    return bench.client(_strict_response_validation=True)
