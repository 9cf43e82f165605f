"""The forms of the API: every example is what its model writes."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from app.api import schemas
from app.api.schemas.base import AnswerModel, InputModel


def _models() -> Iterator[type[BaseModel]]:
    for module in pkgutil.iter_modules(schemas.__path__):
        found = vars(importlib.import_module(f"{schemas.__name__}.{module.name}")).values()
        for model in found:
            if (
                isinstance(model, type)
                and issubclass(model, AnswerModel | InputModel)
                and model.__module__.endswith(module.name)
            ):
                yield model


EXAMPLES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (model, example)
    for model in _models()
    if isinstance(extra := model.model_config.get("json_schema_extra"), dict)
    and isinstance(example := extra.get("example"), dict)
]


@pytest.mark.parametrize(("model", "example"), EXAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_example_is_what_its_model_writes(model: type[BaseModel], example: dict[str, Any]) -> None:
    read = model.model_validate(example)

    written = read.model_dump(mode="json", by_alias=True, exclude_unset=issubclass(model, InputModel))
    assert written == example
