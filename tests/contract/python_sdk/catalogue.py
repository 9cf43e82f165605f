"""Every check there is; importing this module enters them all."""

from tests.contract.python_sdk import asynchronous, errors, images, models, streams, strict, wire
from tests.contract.python_sdk.bench import entries

__all__ = ["asynchronous", "entries", "errors", "images", "models", "streams", "strict", "wire"]
