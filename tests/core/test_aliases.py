"""Aliases: which one a name gets, and what a request becomes by it."""

from typing import Any

import pytest

from app.core import parameters
from app.core.aliases import ModelAlias, Translation, matching_alias
from app.core.catalog import Catalog, Model
from app.core.pricing import PriceBook


def alias(name: str, model: str = "gpt-image-1", **own: Any) -> ModelAlias:
    fields: dict[str, Any] = {"sizes": {}, "qualities": {}, "dropped_fields": (), "response_format": None}
    return ModelAlias(name, model, Translation(**(fields | own)), 0, 0)


def catalog(*aliases: ModelAlias) -> Catalog:
    names = ("gpt-image-1", "seedream-3.0")
    models = {name: Model(name, frozenset(), (), (), False, 0, PriceBook(())) for name in names}
    return Catalog(models, aliases)


ALIASES = [
    alias(name) for name in ("*", "gpt-*", "gpt-image-*", "gpt-image-2", "*-image-2x", "gpt-image-2*", "openai/*")
]


@pytest.mark.parametrize(
    "name,found",
    [
        ("gpt-image-2", "gpt-image-2"),
        ("gpt-image-2-mini", "gpt-image-2*"),
        ("gpt-image-1.5", "gpt-image-*"),
        ("gpt-4o", "gpt-*"),
        ("my-image-2x", "*-image-2x"),
        ("gpt-image-2x", "gpt-image-2*"),  # As long as the other, and it begins with a longer text.
        ("openai/dall-e-3", "openai/*"),
        ("GPT-image-2", "*"),
        ("anything", "*"),
    ],
)
def test_the_most_exact_alias_wins(name: str, found: str) -> None:
    for order in (ALIASES, ALIASES[::-1]):
        matched = matching_alias(order, name)

        assert matched is not None and matched.name == found


def test_a_model_wins_over_every_alias_and_an_unknown_name_has_none() -> None:
    some = catalog(alias("seedream-3.0"), alias("gpt-*"))

    assert some.alias("seedream-3.0") is None and some.alias("gpt-image-1") is None
    assert some.alias("dall-e-3") is None and some.find("dall-e-3") is None
    found = some.find("gpt-image-9")
    assert found is not None and found.id == "gpt-image-1"


@pytest.mark.parametrize(
    "by,sent,becomes",
    [
        # The kind of the model decides what is translated by default.
        (alias("x"), {"size": "256x256"}, {"size": "1024x1024"}),
        (alias("x"), {"size": "512x512"}, {"size": "1024x1024"}),
        (alias("x"), {"size": "1792x1024"}, {"size": "1536x1024"}),
        (alias("x"), {"size": "1024x1792"}, {"size": "1024x1536"}),
        (alias("x"), {"size": "1024x1024"}, {"size": "1024x1024"}),
        (alias("x"), {"size": "auto", "quality": "auto"}, {"size": "auto", "quality": "auto"}),
        (alias("x"), {"quality": "standard"}, {"quality": "medium"}),
        (alias("x"), {"quality": "hd"}, {"quality": "high"}),
        (alias("x"), {"quality": "low", "style": "vivid"}, {"quality": "low"}),
        (alias("x"), {"STYLE": "vivid", "style[a]": "b", "styles": "c"}, {"styles": "c"}),
        (
            alias("x", "seedream-3.0"),
            {"size": "512x512", "quality": "hd", "style": "vivid"},
            {"size": "512x512", "quality": "hd", "style": "vivid"},
        ),
        # What the administrator chose comes before it.
        (alias("x", sizes={"512x512": "1024x1536"}), {"size": "512x512"}, {"size": "1024x1536"}),
        (alias("x", sizes={"9x9": "1024x1024"}), {"size": "512x512"}, {"size": "1024x1024"}),
        (alias("x", qualities={"best": "high"}), {"quality": "best"}, {"quality": "high"}),
        (alias("x", dropped_fields=("size", "seed")), {"size": "9x9", "seed": 3, "style": "vivid"}, {}),
        # The form of the answer.
        (alias("x", response_format="url"), {}, {"response_format": "url"}),
        (alias("x", response_format="url"), {"response_format": "b64_json"}, {"response_format": "b64_json"}),
        (alias("x"), {"response_format": "url"}, {"response_format": "url"}),
    ],
)
def test_a_request_becomes_one_for_the_model(by: ModelAlias, sent: dict[str, Any], becomes: dict[str, Any]) -> None:
    asked = parameters.generation({"model": "x", "prompt": "a cat", **sent})

    request = catalog(by).resolve(asked)

    assert (request.model, request.asked_model) == (by.model, "x")
    assert request.fields == {"model": by.model, "prompt": "a cat", **becomes}
    facts = (request.size, request.quality, request.response_format)
    assert facts == tuple(becomes.get(name) for name in ("size", "quality", "response_format"))


def test_a_request_for_a_model_stays_as_it_is_and_resolving_again_changes_nothing() -> None:
    some = catalog(alias("dall-e-3", sizes={"1024x1024": "1536x1024"}))
    asked = parameters.generation({"prompt": "a cat", "style": "vivid"})
    resolved = some.resolve(parameters.generation({"model": "dall-e-3", "prompt": "a cat", "size": "1024x1024"}))

    assert some.resolve(asked) is asked
    assert some.resolve(resolved) is resolved


@pytest.mark.parametrize(
    "name,said",
    [
        ("gpt-image-2", "Did you mean 'gpt-image-1'? There are: gpt-image-1, seedream-3.0, dall-e-3. "),
        ("gpt-image-2", "`imagegate models alias gpt-image-2 gpt-image-1`"),
        ("dall-e-4", "Did you mean 'dall-e-3'?"),
        ("dall-e-4", "`imagegate models alias dall-e-4 gpt-image-1`"),
        ("画", "does not exist here. There are: "),
        ("画", "`imagegate models alias NAME MODEL`"),
    ],
)
def test_an_unknown_model_is_told_what_there_is(name: str, said: str) -> None:
    some = catalog(alias("dall-e-3"), alias("flux-*"))

    assert said in some.not_found(name, list(some.models)).message


def test_an_unknown_model_is_told_only_what_the_key_may_use_and_no_endless_list() -> None:
    some = catalog(alias("dall-e-3"))

    assert "There are: seedream-3.0." in some.not_found("gpt-image-1", ["seedream-3.0"]).message
    assert "There are: none for this key." in some.not_found("gpt-image-1", []).message
    assert "m19 and 11 more" in some.not_found("x", [f"m{number}" for number in range(31)]).message
