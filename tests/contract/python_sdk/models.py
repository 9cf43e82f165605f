"""The Models API."""

from tests.contract.python_sdk.bench import FLUX, GPT, UNPRICED, Bench, check, same


@check()
def the_models_are_those_with_a_price(bench: Bench) -> None:
    models = {model.id: model for model in bench.client().models.list()}

    assert GPT in models
    assert UNPRICED not in models
    same((models[GPT].object, models[GPT].owned_by), ("model", "imagegate"))
    assert type(models[GPT].created) is int


@check()
def a_key_sees_only_the_models_it_may_use(bench: Bench) -> None:
    same([model.id for model in bench.client("only_flux").models.list()], [FLUX])


@check()
def a_model_is_retrieved_by_its_id(bench: Bench) -> None:
    model = bench.client().models.retrieve(GPT)

    same((model.id, model.object), (GPT, "model"))


@check()
def a_model_that_is_not_there_is_not_found(bench: Bench) -> None:
    for id, key in (
        ("gpt-image-99", "good"),
        ("ft:gpt-4o-mini:acemeco:suffix:abc123", "good"),
        (UNPRICED, "good"),
        (GPT, "only_flux"),
    ):
        try:
            bench.client(key).models.retrieve(id)
        except bench.openai.NotFoundError as exc:
            same((id, exc.code, exc.type, exc.param), (id, "model_not_found", "invalid_request_error", "model"))
            assert exc.request_id.startswith("req_")
        else:
            raise AssertionError(f"{id} was found")
