"""Parameters of generations."""

from typing import Any

import pytest

from app.core import parameters
from app.errors import GatewayError


def test_a_generation_has_the_defaults_and_keeps_every_field_as_it_came() -> None:
    fields = {"prompt": "a cat", "seed": -1, "aspect_ratio": "16:9", "extra": {"deep": [1, 2.5, None]}, "n": None}

    wanted = parameters.generation(fields)

    assert (wanted.operation, wanted.model, wanted.n, wanted.size, wanted.quality) == (
        "generation",
        "gpt-image-1",
        1,
        None,
        None,
    )
    assert (wanted.stream, wanted.partial_images, wanted.prompt_chars, wanted.spool) == (False, 0, 5, None)
    assert wanted.fields == {
        "model": "gpt-image-1",
        "prompt": "a cat",
        "seed": -1,
        "aspect_ratio": "16:9",
        "extra": {"deep": [1, 2.5, None]},
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 10},
        {"n": 1},
        {"size": "1664x936"},
        {"size": "16:9"},
        {"size": "auto", "quality": "hd"},
        {"quality": "x" * 32},
        {"stream": True, "partial_images": 3},
        {"stream": False, "partial_images": 0},
        {"response_format": "url"},
        {"response_format": "b64_json"},
        {"user": "u" * 256},
        {"model": "ft:gpt-4o-mini:acemeco:suffix:abc123"},
        {"model": "black-forest-labs/flux-1.1-pro"},
        {"model": "通义万相-2.5"},
        {"prompt": "😀" * 32_000},
        {"prompt": "e" + "\u0301" * 10_000},
        {"prompt": "\u202eright to left\r\n\x1b[31mred {{7*7}} ${jndi:ldap://x} <script>"},
        {"user": "=cmd\r\n\x1b[31m"},
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_what_a_client_may_say_is_taken_and_passed_on(fields: dict[str, Any]) -> None:
    wanted = parameters.generation({"prompt": "a cat", **fields})

    assert fields.items() <= wanted.fields.items()
    for name in {"n", "size", "quality", "stream", "partial_images", "model"} & set(fields):
        assert getattr(wanted, name) == fields[name]


def each(*values: Any) -> tuple[Any, ...]:
    return values


BAD: list[tuple[dict[str, Any], str, str | None]] = [
    *(({"n": value}, "invalid_value", "n") for value in (0, -1, 11, 10**9, 10**30)),
    *(({"n": value}, "invalid_type", "n") for value in each(1.5, 1.0, "2", [1], {}, True)),
    ({"prompt": None}, "missing_required_parameter", "prompt"),
    *(({"prompt": value}, "invalid_value", "prompt") for value in ("", "   ", "\n\t\u3000", "a\0b")),
    ({"prompt": "x" * 32_001}, "string_above_max_length", "prompt"),
    *(({"prompt": value}, "invalid_type", "prompt") for value in each(["a"], 5, {"a": 1}, True)),
    *(
        ({"model": value}, "invalid_value", "model")
        for value in (
            "",
            "a\nb",
            "a b",
            "../../etc/passwd",
            "/etc/passwd",
            "a//b",
            "a\\b",
            "a?b=c",
            "a%2fb",
            "a/",
            ".env",
        )
    ),
    ({"model": "m" * 300}, "string_above_max_length", "model"),
    ({"model": 5}, "invalid_type", "model"),
    *(({name: "x" * 33}, "string_above_max_length", name) for name in ("size", "quality")),
    *(({name: value}, "invalid_value", name) for name in ("size", "quality") for value in ("", "a b", "a\n", "\u200b")),
    *(({name: 1024}, "invalid_type", name) for name in ("size", "quality")),
    ({"response_format": "html"}, "invalid_value", "response_format"),
    ({"response_format": 1}, "invalid_type", "response_format"),
    *(({"stream": value}, "invalid_type", "stream") for value in each("yes", "true", 1, [])),
    *(({"partial_images": value}, "invalid_value", "partial_images") for value in (10**6, -1, 4)),
    *(({"partial_images": value}, "invalid_type", "partial_images") for value in ("2", 1.5, False)),
    ({"user": "u" * 257}, "string_above_max_length", "user"),
    ({"user": 5}, "invalid_type", "user"),
    *(({name: 10}, "invalid_value", name) for name in ("N", "Model", "SIZE", "Prompt", "\u017fize", "\uff4e")),
    # A number of images under another name, where a relay may read it.
    *(
        ({name: 30}, "invalid_value", name)
        for name in (
            *("num_images", "batch_size", "num_outputs", "max_images", "number_of_images", "samples", "num_samples"),
            *(
                "num_variations",
                "repeat",
                "n\u00ad",
                "parameters/n",
                "image_count",
                "numImages",
                "Num-Images",
                "NUM_IMAGES",
                "sampleCount",
                "parameters[n]",
                "parameters.n",
            ),
            *(
                "batch",
                "batch_count",
                "candidate_count",
                "count",
                "image_n",
                "image_num",
                "image_number",
                "images_count",
            ),
            *(
                "images_per_prompt",
                "max_image",
                "n_images",
                "n_iter",
                "n_outputs",
                "n_samples",
                "num",
                "number_of_outputs",
            ),
            *(
                "number_of_results",
                "num_image",
                "num_images_per_prompt",
                "num_results",
                "output_count",
                "outputs",
                "quantity",
            ),
            *("sequential_image_generation", "sequential_image_generation_options", "n[]", "extra_body[num_images]"),
        )
    ),
    *(
        ({name: value}, "invalid_value", name)
        for name in ("extra_body", "parameters", "extra_fields", "anything")
        for value in ({"num_images": 4}, {"n": 4}, {"a": [{"batch-size": 4}]}, '{"n": 4}')
    ),
    *(({"parameters": {name: "x"}}, "invalid_value", "parameters") for name in ("size", "quality", "Model")),
    # Names and JSON in text that would take long to read.
    ({"a" * 129: 1}, "invalid_value", "a" * 64),
    ({"a": {"\u0301" * 100 + "\u0323" * 100: 1}}, "invalid_value", "\\u0301" * 64),
    ({"a": [{f"k{number}": 1} for number in range(1000)]}, "invalid_value", None),
    ({f"k{number}": 1 for number in range(1000)}, "invalid_value", None),
    ({f"k{number}" + "\ufdfa" * 100: 1 for number in range(60)}, "invalid_value", None),
    # JSON in text that a strict parser refuses and a lenient relay may read.
    *(
        ({"parameters": text}, "invalid_value", "parameters")
        for text in (
            *(
                '{"n": 10, "n": 10}',
                '{"a": NaN, "n": 10}',
                '{"a": 1e999, "n": 10}',
                '{"n": 10} and more',
                '\u00a0{"n": 10}',
            ),
            *(
                '"{\\"n\\": 10}"',
                '{"a": "{\\\\\\"n\\\\\\": 10}"}',
                '{"\\u006e": 10}',
                "{'n': 10}",
                '{"n" : 10}',
                '[{"numImages":10}]',
            ),
            *('"\\u007b\\"n\\":10}"', "{n:10}", '{"a":1, n:10}', '{"n"/**/:10}', '{"n\u200b":10}'),
            "[" * 40 + '{"n": 10}' + "]" * 40,
        )
    ),
    ({"a": "{" + " " * 30_000 + "]", "b": ["{" + " " * 40_000 + "}"]}, "invalid_value", "b"),
]

SPELLINGS = {
    ("size", "2048x2048"): (
        "2048X2048",
        "2048*2048",
        "2048×2048",
        " 2048 x 2048 ",
        "２０４８×２０４８",
        "02048x2048",
        *(f"2048{cross}2048" for cross in "✕✖⨯\u0445\u0425"),
    ),
    ("size", "2K"): ("2k", "２Ｋ"),
    ("size", "auto"): ("AUTO", "Auto"),
    ("size", "16:9"): ("16：9",),
    ("quality", "high"): ("HIGH", "High", "ｈｉｇｈ", " high"),
}


@pytest.mark.parametrize(
    ("name", "value", "spelled"),
    [(name, value, spelled) for (name, spelled), values in SPELLINGS.items() for value in (*values, spelled)],
)
def test_size_and_quality_are_read_and_sent_in_one_spelling(name: str, value: str, spelled: str) -> None:
    wanted = parameters.generation({"prompt": "a cat", name: value})

    assert getattr(wanted, name) == wanted.fields[name] == spelled


def test_what_counts_nothing_passes_on_unchanged() -> None:
    fields = {
        "sequential_image_generation": "disabled",
        "num_inference_steps": 20,
        "loras": [{"model": "a/b"}],
        "seed": 7,
    }

    assert parameters.generation({"prompt": "a cat", **fields}).fields.items() >= fields.items()


@pytest.mark.parametrize(("fields", "code", "param"), BAD, ids=lambda value: repr(value)[:32])
def test_a_bad_field_is_refused_by_its_name(fields: dict[str, Any], code: str, param: str | None) -> None:
    with pytest.raises(GatewayError) as refused:
        parameters.generation({"prompt": "a cat", **fields})

    assert (refused.value.status, refused.value.code, refused.value.param) == (400, code, param)
    assert not refused.value.retryable
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "name",
    [
        "api_base",
        "base_url",
        "extra_headers",
        "api_key",
        "extra_body",
        "API-Base",
        "baseURL",
        "headers",
        "proxy",
        "host",
    ],
)
def test_a_field_that_names_a_destination_goes_nowhere(name: str) -> None:
    wanted = parameters.generation({"prompt": "a cat", name: "http://evil.example"})

    assert wanted.fields == {"model": "gpt-image-1", "prompt": "a cat"}
